/**
 * Knows under which name copies are made in a cache that instances share: whose store they are
 * copies of, and of which generation. A copy under another name is nobody's. The store knows both;
 * it is asked twice a second whether another instance began a new generation.
 */
import type { CacheSharing } from "./cache_sharing.ts";
import type { Clock } from "../ports/clock.ts";
import type { Identity, StoreIdentity } from "../ports/store_identity.ts";

/** It asks twice within SURE_MS, so that one answer may come late. */
const POLL_MS = 500;
/**
 * A second after another instance has begun a generation, its older copies are not to be given as
 * good ones.
 */
const SURE_MS = 1_000;
/**
 * So much of the identity tells stores apart that could share a Redis, and keeps companion keys
 * short.
 */
const ID_LENGTH = 8;
/** One a failed flush, so that thousands an hour are possible while a cache cannot be written. */
const ENDED_MAX = 10_000;

export class CacheNamespace implements CacheSharing {
  #known: Identity | undefined;
  /** Every hot read asks for it, so that it is made once a generation. */
  #text: string | undefined;
  /** It counts what this instance changed: an answer that was overtaken by that is not news. */
  #turn = 0;
  /** Questions are numbered, as their answers may come in another order. */
  #asked = 0;
  #learned = 0;
  #toldMs = -Infinity;
  /** Generations that were ended; the latest, as a database goes back by hours at most. */
  readonly #ended = new Set<string>();
  /** An earlier run knew this, and the store has not told this run anything yet. */
  #earlier: Identity | undefined;
  #asking = false;
  #stopPolling: (() => void) | undefined;

  constructor(
    private readonly store: StoreIdentity,
    private readonly clock: Pick<Clock, "setInterval" | "monotonicMs">,
  ) {}

  /** The store told this last; it is undefined as long as it has never told. */
  get known(): Identity | undefined {
    return this.#known;
  }

  /** It names what is {@link known}, and is undefined with it. */
  get text(): string | undefined {
    return this.#text;
  }

  get isSure(): boolean {
    return this.clock.monotonicMs() - this.#toldMs <= SURE_MS;
  }

  /**
   * Begins to ask.
   * @param known what an earlier run learned last, for as long as the store cannot be asked
   */
  start(known?: Identity): void {
    if (this.#known === undefined && known !== undefined) {
      this.#know(known);
      this.#earlier = known;
    }
    this.#stopPolling = this.clock.setInterval(() => void this.#ask(), POLL_MS);
    void this.#ask();
  }

  stop(): void {
    this.#stopPolling?.();
  }

  /**
   * Outdates every copy made so far, for all instances.
   * @throws as {@link StoreIdentity.outdateCopies}
   */
  async outdate(): Promise<void> {
    this.#turn++;
    const askedMs = this.clock.monotonicMs();
    const identity = await this.store.outdateCopies();
    this.#turn++;
    this.#learn(identity, ++this.#asked, askedMs);
  }

  /**
   * Learns what the store says now, or later than now.
   * @throws as {@link StoreIdentity.identify}
   */
  async refresh(): Promise<void> {
    for (;;) {
      const turn = this.#turn;
      const asked = ++this.#asked;
      const askedMs = this.clock.monotonicMs();
      const identity = await this.store.identify();
      if (asked < this.#learned) return;
      if (turn !== this.#turn) continue;
      if (this.#mayHaveEnded(identity)) return await this.outdate();
      return this.#learn(identity, asked, askedMs);
    }
  }

  /**
   * Tells whether the store went back, so that copies that were outdated would count again. What
   * happened between two runs nobody knows: another generation than the earlier run's is a newer
   * one or an older one.
   */
  #mayHaveEnded({ id, cacheGeneration }: Identity): boolean {
    const earlier = this.#earlier;
    return this.#ended.has(cacheGeneration) ||
      (earlier?.id === id && earlier.cacheGeneration !== cacheGeneration);
  }

  #learn(identity: Identity, asked: number, askedMs: number): void {
    this.#learned = asked;
    this.#earlier = undefined;
    const ended = this.#known?.cacheGeneration;
    if (ended !== undefined && ended !== identity.cacheGeneration) this.#ended.add(ended);
    const [oldest] = this.#ended;
    if (this.#ended.size > ENDED_MAX) this.#ended.delete(oldest!);
    this.#know(identity);
    this.#toldMs = askedMs;
  }

  #know(identity: Identity): void {
    const { id, cacheGeneration } = identity;
    this.#known = identity;
    this.#text = `${id.slice(0, ID_LENGTH)}.${cacheGeneration}`;
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      await this.refresh();
    } catch {
      // Whoever needs the store meets the same failure and reports it; what is known stays known,
      // and the next turn asks again.
    } finally {
      this.#asking = false;
    }
  }
}
