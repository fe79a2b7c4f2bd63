/** What is demonstrated, and tested in a browser: the service, its database, and traffic. */
import { createHash } from "node:crypto";
import { Dsproxy } from "../support/dsproxy.ts";
import { type DemoStore, startStore, VALUE_LENGTH_MAX } from "./store.ts";
import { Traffic } from "./traffic.ts";

export class DemoWorld implements AsyncDisposable {
  readonly adminKey = crypto.randomUUID();
  readonly traffic: Traffic;
  #service: Dsproxy | undefined;

  private constructor(
    readonly store: DemoStore,
    private readonly resources: AsyncDisposableStack,
    private readonly settings: Readonly<Record<string, string>>,
  ) {
    this.traffic = new Traffic(this.url);
  }

  /**
   * @param port where the service is to listen, also after a restart
   * @param more settings of the service
   */
  static async start(
    port: number,
    more: Readonly<Record<string, string>> = {},
  ): Promise<DemoWorld> {
    await using resources = new AsyncDisposableStack();
    const dataDir = resources.adopt(
      await Deno.makeTempDir({ prefix: "dsproxy-demo-" }),
      (path) => Deno.remove(path, { recursive: true }),
    );
    const store = resources.use(await startStore(dataDir));
    const settings = { ...store.settings, ...more, DATA_DIR: dataDir, PROXY_PORT: String(port) };
    const world = new DemoWorld(store, resources.move(), settings);
    try {
      await world.startService();
      // Its table is there once it has stored something.
      await world.service.accept({ user_id: "user-0", value: "hello" }, "?ack=flushed");
      await store.refuseLongValues();
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.settings.PROXY_PORT}`;
  }

  get service(): Dsproxy {
    if (this.#service === undefined) throw new Error("The service of the demo does not run");
    return this.#service;
  }

  async startService(): Promise<void> {
    const adminKeyHash = createHash("sha256").update(this.adminKey).digest("hex");
    this.#service = await Dsproxy.start({
      BATCH_INTERVAL: "500ms",
      ...this.settings,
      ADMIN_KEY: adminKeyHash,
    });
  }

  /** Ends the service in order; what was accepted waits in its journal. */
  async stopService(): Promise<void> {
    await this.service.stop();
    this.#service = undefined;
  }

  /** Writes a row that the database refuses. */
  async writePoison(userId: string): Promise<void> {
    await this.service.accept({ user_id: userId, value: "long ".repeat(VALUE_LENGTH_MAX / 4) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.traffic.stop();
    await this.#service?.[Symbol.asyncDispose]();
    await this.resources.disposeAsync();
  }
}
