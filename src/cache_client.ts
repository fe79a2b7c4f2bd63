/**
 * The cache as the handlers' paths share it: a fault is a miss, never a failed request, and a user whose update failed
 * is not read from the cache until it has been put right or the stale copy has expired.
 */
import type { Entry } from "./domain.ts";
import type { Cache, CachedEntry, Clock } from "./ports.ts";

const MAX_WAITING = 10_000;
const MAX_SUSPECT = 100_000;

export class CacheClient {
  /** Users whose copy in the cache may be older than an acknowledged write → when that copy is gone at the latest. */
  readonly #suspectUntilMs = new Map<string, number>();
  #distrustAllUntilMs = 0;
  #waiting: Entry[] = [];
  #sending: Promise<void> | undefined;

  constructor(
    private readonly cache: Cache,
    private readonly ttlMs: number,
    private readonly clock: Clock,
    private readonly onFault: (error: unknown) => void,
  ) {}

  async get(userId: string): Promise<CachedEntry | undefined> {
    if (this.#isSuspect(userId)) return undefined;
    try {
      return await this.cache.get(userId);
    } catch (error) {
      this.onFault(error);
      return undefined;
    }
  }

  /** After a write became durable. Returns at once; what waits goes out together, one call at a time. */
  offer(entry: Entry): void {
    if (this.#waiting.length >= MAX_WAITING) return this.#suspect([entry]);
    this.#waiting.push(entry);
    this.#sending ??= this.#sendWaiting();
  }

  /** After a flush: when this settles, each user is up to date in the cache, or known not to be. */
  async update(entries: readonly Entry[]): Promise<void> {
    await this.#set(entries, false);
  }

  /** After the store refused an entry that the cache may hold. */
  async forget(userId: string): Promise<void> {
    try {
      await this.cache.forget(userId);
    } catch (error) {
      this.onFault(error);
      this.#suspect([{ userId }]);
    }
  }

  /** After a read from the store: `entry` is the newest it has. Does not keep the reader waiting. */
  fill(entry: Entry): void {
    void this.#set([entry], true).then((done) => {
      if (done) this.#suspectUntilMs.delete(entry.userId);
    });
  }

  async close(): Promise<void> {
    await this.#sending;
    await this.cache.close();
  }

  async #sendWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const entries = this.#waiting;
      this.#waiting = [];
      await this.#set(entries, false);
    }
    this.#sending = undefined;
  }

  async #set(entries: readonly Entry[], complete: boolean): Promise<boolean> {
    try {
      await this.cache.setMany(entries, complete);
      return true;
    } catch (error) {
      this.onFault(error);
      if (!complete) this.#suspect(entries);
      return false;
    }
  }

  #suspect(entries: readonly Pick<Entry, "userId">[]): void {
    const untilMs = this.clock.now() + this.ttlMs;
    for (const { userId } of entries) {
      // Deleted first, so that the order of the map is the order of expiry.
      this.#suspectUntilMs.delete(userId);
      this.#suspectUntilMs.set(userId, untilMs);
    }
    if (this.#suspectUntilMs.size > MAX_SUSPECT) {
      this.#suspectUntilMs.clear();
      this.#distrustAllUntilMs = untilMs;
    }
  }

  #isSuspect(userId: string): boolean {
    if (this.#suspectUntilMs.size === 0 && this.#distrustAllUntilMs === 0) return false;
    const now = this.clock.now();
    if (now < this.#distrustAllUntilMs) return true;
    this.#distrustAllUntilMs = 0;
    this.#dropExpired(now);
    return this.#suspectUntilMs.has(userId);
  }

  #dropExpired(now: number): void {
    for (const [userId, untilMs] of this.#suspectUntilMs) {
      if (untilMs > now) return;
      this.#suspectUntilMs.delete(userId);
    }
  }
}
