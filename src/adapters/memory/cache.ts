/**
 * Is the cache inside this process, for installations without Redis: least recently used goes
 * first, bounded by entries and by bytes. It is seen by this instance only; as the one instance
 * sees all its own writes, it is never behind them.
 */
import { LRUCache } from "lru-cache";
import { compareVersions, type Entry } from "../../domain.ts";
import { bytesOf, pack, type PackedEntry, unpack } from "../../packed.ts";
import type { Cache, CachedEntry, FillToken } from "../../ports/cache.ts";
import type { Clock } from "../../ports/clock.ts";

export interface MemoryCacheOptions {
  /** 0 turns the cache off: every `get` is a miss. */
  readonly maxEntries: number;
  /** They are counted as {@link bytesOf} counts them. */
  readonly maxBytes: number;
  /** An entry is forgotten this long after it was last set. */
  readonly ttlMs: number;
  /**
   * An entry counts as complete for so long since it was last compared with the store; the default
   * is as long as it is kept.
   */
  readonly completeMs?: number;
  readonly clock: Pick<Clock, "monotonicMs" | "turn">;
}

/** An update of so many takes about a millisecond. */
const PIECE_ENTRIES = 500;

interface Held {
  readonly entry: PackedEntry;
  /**
   * It, or what it replaced, was last known then to be the newest of all; `-Infinity` stands for
   * never.
   */
  readonly comparedMs: number;
}

export function createMemoryCache(options: MemoryCacheOptions): Cache {
  return options.maxEntries === 0 ? OFF : new MemoryCache(options);
}

class MemoryCache implements Cache {
  readonly #entries: LRUCache<string, Held>;
  readonly #completeMs: number;
  readonly #clock: MemoryCacheOptions["clock"];
  /** So many times look-ups under way were outdated; it is the token. */
  #outdatings = 0;

  constructor(options: MemoryCacheOptions) {
    const {
      maxEntries,
      maxBytes,
      ttlMs,
      completeMs = Infinity,
      clock,
    } = options;
    this.#completeMs = completeMs;
    this.#clock = clock;
    this.#entries = new LRUCache<string, Held>({
      max: maxEntries,
      maxSize: maxBytes,
      sizeCalculation: ({ entry }) => bytesOf(entry),
      ttl: ttlMs,
      // Otherwise the package reads the clock at most once a millisecond, and starts a timer to
      // know when.
      ttlResolution: 0,
      perf: { now: () => clock.monotonicMs() },
    });
  }

  get(userId: string): CachedEntry | undefined {
    const held = this.#entries.get(userId);
    if (held === undefined) return undefined;
    const complete = held.comparedMs > -Infinity &&
      this.#clock.monotonicMs() - held.comparedMs < this.#completeMs;
    return { entry: unpack(held.entry), complete, source: "local" };
  }

  /**
   * Takes in pieces only what the store has: of others one may turn out to be refused, and be
   * forgotten, before its piece has come.
   */
  async update(entries: readonly Entry[], areStored = false): Promise<void> {
    if (areStored) this.#outdatings++;
    for (const [i, entry] of entries.entries()) {
      if (areStored && i > 0 && i % PIECE_ENTRIES === 0) await this.#clock.turn();
      this.#offer(entry, false);
    }
  }

  token(): Promise<FillToken> {
    return Promise.resolve(String(this.#outdatings));
  }

  fill(entries: readonly Entry[], token: FillToken): Promise<boolean> {
    if (token !== String(this.#outdatings)) return Promise.resolve(false);
    for (const entry of entries) this.#offer(entry, true);
    return Promise.resolve(true);
  }

  #offer(entry: Entry, cameFromStore: boolean): void {
    const present = this.#entries.get(entry.userId);
    const isOlder = present !== undefined && compareVersions(entry, present.entry) < 0;
    if (isOlder && !cameFromStore) return;
    this.#entries.set(entry.userId, {
      entry: isOlder ? present.entry : pack(entry),
      comparedMs: cameFromStore ? this.#clock.monotonicMs() : present?.comparedMs ?? -Infinity,
    });
  }

  forget(userId: string): Promise<void> {
    this.#outdatings++;
    this.#entries.delete(userId);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#entries.clear();
    return Promise.resolve();
  }
}

const OFF: Cache = {
  get: () => undefined,
  update: () => Promise.resolve(),
  token: () => Promise.resolve(""),
  fill: () => Promise.resolve(true),
  forget: () => Promise.resolve(),
  close: () => Promise.resolve(),
};
