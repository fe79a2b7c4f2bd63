/**
 * Writes through one instance and reads through another: what the second one says more than a
 * second after the first one's 201.
 */
import type { Dsproxy } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";

const USERS = 10;
/** How long another instance may answer with what it knew before. */
const MAY_BE_OLD_MS = 1_000;
/** Reads meanwhile, so that it knows something old. */
const READ_EVERY_MS = 150;

export class Crossing {
  readonly stale: string[] = [];
  /** How many answers have been checked. */
  checked = 0;
  #running = true;
  readonly #users: Promise<void>[];

  /** @param scene its instances may be replaced by others while this runs */
  constructor(
    private readonly scene: { readonly proxies: Dsproxy[] },
    readonly from: number,
    readonly to: number,
  ) {
    this.#users = Array.from({ length: USERS }, (_, i) => this.#cross(`crossing${from}-${i}`));
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#users);
  }

  async #cross(user: string): Promise<void> {
    for (let i = 0; this.#running; i++) {
      try {
        await this.#crossOnce(user, `${user}/${i}`);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // An instance was away.
        await delay(READ_EVERY_MS);
      }
    }
  }

  async #crossOnce(user: string, value: string): Promise<void> {
    const [from, to] = [this.scene.proxies[this.from]!, this.scene.proxies[this.to]!];
    await to.read(user);
    const response = await from.write({ user_id: user, value }, "?ack=flushed");
    await response.body?.cancel();
    if (response.status !== 201) return await delay(READ_EVERY_MS);
    const oldUntilMs = performance.now() + MAY_BE_OLD_MS;
    while (performance.now() < oldUntilMs) {
      await to.read(user);
      await delay(READ_EVERY_MS);
    }
    const { status, value: found, source } = await to.read(user);
    this.checked++;
    if (status === 503 || source === "stale" || (status === 200 && found === value)) return;
    this.stale.push(
      `${user}: ${status} ${found.slice(0, 100)} from ${source}, ${value} was flushed over 1 s ago`,
    );
  }
}
