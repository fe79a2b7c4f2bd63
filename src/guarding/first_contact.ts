/**
 * Asks the store at the start, until it has answered once: so that its schema is made before the
 * first flush, and what it refuses is known before anybody relies on it. Asks again when a look-up
 * was refused, until one is not.
 */
import { StoreRefusesError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Store } from "../ports/store.ts";
import type { Log } from "../telemetry/log.ts";

/** It asks as often as a breaker tries (breaker.ts). */
const AGAIN_MS = 1_000;
/** No user can have it. */
const NOBODY = "";

export class FirstContact {
  #refusal: string | undefined;
  #stopped = false;
  #asking = false;
  #cancelTimer: (() => void) | undefined;

  constructor(
    private readonly store: Pick<Store, "latest">,
    private readonly clock: Pick<Clock, "setTimeout">,
    private readonly log: Pick<Log, "error">,
  ) {}

  /**
   * It says why the store, which answers, is of no use; it is undefined when the store is, or does
   * not answer.
   */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  start(): void {
    if (this.#asking || this.#stopped) return;
    this.#asking = true;
    void this.#ask();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  async #ask(): Promise<void> {
    try {
      await this.store.latest(NOBODY);
      this.#refusal = undefined;
      this.#asking = false;
      return;
    } catch (error) {
      this.#note(error);
    }
    if (!this.#stopped) this.#cancelTimer = this.clock.setTimeout(() => void this.#ask(), AGAIN_MS);
  }

  /** One that does not answer is no news: whoever needs it meets the same. */
  #note(error: unknown): void {
    const refusal = error instanceof StoreRefusesError ? error.message : undefined;
    if (refusal !== undefined && refusal !== this.#refusal) {
      this.log.error(
        "The store answers, and refuses what the service needs; writes wait in the journal",
        { event: "store-refuses", error },
      );
    }
    this.#refusal = refusal;
  }
}
