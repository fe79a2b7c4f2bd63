/**
 * Under which name copies are made in a cache that instances share: whose store they are copies of, and of which generation. A copy
 * under another name is nobody's. The store knows both; it is asked twice a second whether another instance began a new generation.
 */
import type { Clock, Identity, StoreIdentity } from "./ports.ts";

const POLL_MS = 500;
const ID_LENGTH = 8;

export class CacheNamespace {
  #known: Identity | undefined;
  /** Counts questions and changes: an answer that was overtaken by one is not news. */
  #turn = 0;
  #asking = false;
  #stopPolling: (() => void) | undefined;

  constructor(private readonly store: StoreIdentity, private readonly clock: Pick<Clock, "setInterval">) {}

  /** What the store told last; undefined as long as it has never told. */
  get known(): Identity | undefined {
    return this.#known;
  }

  /** Of what is {@link known}. */
  get text(): string | undefined {
    return this.#known && `${this.#known.id.slice(0, ID_LENGTH)}.${this.#known.cacheGeneration}`;
  }

  /** @param known what an earlier run learned last, for as long as the store cannot be asked */
  start(known?: Identity): void {
    this.#known ??= known;
    this.#stopPolling = this.clock.setInterval(() => void this.#ask(), POLL_MS);
    void this.#ask();
  }

  stop(): void {
    this.#stopPolling?.();
  }

  /** Every copy made so far is outdated, for all instances. @throws as {@link StoreIdentity.outdateCopies} */
  async outdate(): Promise<void> {
    this.#turn++;
    const identity = await this.store.outdateCopies();
    this.#turn++;
    this.#known = identity;
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const turn = this.#turn;
    try {
      const identity = await this.store.identify();
      if (turn === this.#turn) this.#known = identity;
    } catch {
      // Whoever needs the store meets the same failure and reports it; what is known stays known, and the next turn asks again.
    } finally {
      this.#asking = false;
    }
  }
}
