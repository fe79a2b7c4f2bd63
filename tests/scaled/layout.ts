/** API servers and workers as real processes, around one broker, one database and one Redis. */
import type { Target } from "../fault/load.ts";
import { Dsproxy, type Environment, eventually, type HowToRun } from "../support/dsproxy.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { type EngineName, ENGINES } from "./engines.ts";

/** A place of a process: whoever runs there now, after the one before was killed. */
export class Place implements Target {
  #process: Dsproxy | undefined;

  constructor(readonly settings: Environment) {}

  get url(): string {
    return this.process.url;
  }

  get process(): Dsproxy {
    if (this.#process === undefined) throw new TypeError("Nobody runs here just now");
    return this.#process;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  /** @param settings in place of those that it had, for this start */
  async start(settings: Environment = {}, how: HowToRun = {}): Promise<void> {
    this.#process = await Dsproxy.start({ ...this.settings, ...settings }, how);
  }

  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    await process?.kill();
  }

  async stop(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    await process?.stop();
  }

  mayBeGone(): Promise<boolean> {
    return this.#process?.mayBeGone() ?? Promise.resolve(true);
  }
}

interface LayoutOptions {
  readonly servers: number;
  readonly workers: number;
  readonly settings: Environment;
  /** Default `api`. */
  readonly serverRole?: "api" | "all";
}

export class Layout implements AsyncDisposable {
  readonly servers: readonly Place[];
  readonly workers: readonly Place[];

  private constructor(
    { servers, workers, settings, serverRole = "api" }: LayoutOptions,
    readonly folder: string,
  ) {
    const place = (role: string, name: string) =>
      new Place({
        BATCH_INTERVAL: "200ms",
        ...settings,
        ROLE: role,
        DATA_DIR: `${folder}/${name}`,
      });
    this.servers = Array.from({ length: servers }, (_, i) => place(serverRole, `api${i}`));
    this.workers = Array.from({ length: workers }, (_, i) => place("worker", `worker${i}`));
  }

  static async start(options: LayoutOptions): Promise<Layout> {
    const folder = await Deno.makeTempDir({ prefix: "dsproxy-scaled-" });
    const layout = new Layout(options, folder);
    try {
      await Promise.all(layout.places.map((place) => place.start()));
    } catch (error) {
      await layout[Symbol.asyncDispose]();
      throw error;
    }
    return layout;
  }

  get places(): readonly Place[] {
    return [...this.servers, ...this.workers];
  }

  /** Resolves when no API server has anything left that the store may lack. */
  async untilStored(limitMs = 60_000): Promise<void> {
    await eventually("everything is stored", async () => {
      const depths = await Promise.all(
        this.servers.map(({ process }) => process.metric("dsproxy_queue_depth")),
      );
      return depths.every((depth) => depth === 0);
    }, limitMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.places.map((place) => place.kill()));
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** A layout around a broker and a database of its own, all of it ended when it is disposed of. */
export async function setUp(
  engine: EngineName,
  servers: number,
  workers: number,
  others: Environment = {},
) {
  const stack = new AsyncDisposableStack();
  const database = await createDatabase();
  stack.defer(() => database.drop());
  const broker = stack.use(await ENGINES[engine]());
  const settings = { ...broker.settings, DATABASE_URL: database.url, ...others };
  const layout = stack.use(await Layout.start({ servers, workers, settings }));
  return { broker, layout, database, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Returns the values of all rows, sorted. */
export async function valuesIn(databaseUrl: string): Promise<string[]> {
  const rows = await once(
    databaseUrl,
    (sql) => sql<{ value: string }[]>`select value from user_data`,
  );
  return rows.map(({ value }) => value).sort();
}
