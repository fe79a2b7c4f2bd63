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

  /**
   * @param onLearned told of each new identity or generation
   * @param known what an earlier run learned last, for as long as the store cannot be asked
   */
  constructor(
    private readonly store: StoreIdentity,
    private readonly clock: Pick<Clock, "setInterval">,
    private readonly onLearned: (identity: Identity) => void,
    known?: Identity,
  ) {
    this.#known = known;
  }

  /** Undefined as long as the store has never told. */
  get text(): string | undefined {
    return this.#known && `${this.#known.id.slice(0, ID_LENGTH)}.${this.#known.cacheGeneration}`;
  }

  start(): void {
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
    this.#learn(identity);
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const turn = this.#turn;
    try {
      const identity = await this.store.identify();
      if (turn === this.#turn) this.#learn(identity);
    } catch {
      // Whoever needs the store meets the same failure and reports it; what is known stays known, and the next turn asks again.
    } finally {
      this.#asking = false;
    }
  }

  #learn(identity: Identity): void {
    const { id, cacheGeneration } = this.#known ?? {};
    if (id === identity.id && cacheGeneration === identity.cacheGeneration) return;
    this.#known = identity;
    this.onLearned(identity);
  }
}
