/**
 * The cache as the handlers' paths share it: a fault is a miss, never a failed request, and a user
 * whose update failed is not read from the cache until it has been put right or the stale copy has
 * expired. After a start that does not know what the last run failed to update, that holds for
 * every user.
 */
import { type Entry, newest } from "../domain.ts";
import { CacheStaleError } from "../errors.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf } from "../packed.ts";
import { type Cache, CACHE_LATE_EFFECT_MS, type CachedEntry } from "../ports/cache.ts";
import type { Clock } from "../ports/clock.ts";

/** Some 100 bytes each; above it all copies are passed over until they have expired. */
const MAX_SUSPECTS = 100_000;
/** As many; whoever is not among them has to be looked up. */
const MAX_TRUSTED = 100_000;

interface Suspicion {
  /** When the copy has expired at the latest; by the monotonic clock. */
  readonly untilMs: number;
}

/** What those who share a cache tell one another, by the store. */
export interface CacheSharing {
  /** Of which generation copies are made now. */
  readonly text: string | undefined;
  /** The store has just told so: nobody can have begun another one without our knowing. */
  readonly isSure: boolean;
  /** No copy made so far is good any more; rejects when the others cannot be told. */
  outdate(): Promise<void>;
}

/** Of a cache that nobody else has. */
const UNSHARED: CacheSharing = { text: "", isSure: true, outdate: () => Promise.resolve() };

interface CacheClientParts {
  readonly cache: Cache;
  /** How long the cache keeps a copy. */
  readonly ttlMs: number;
  readonly clock: Clock;
  /** Told of each call that failed. */
  readonly onFault: (error: unknown) => void;
  /** Default: nobody else has the cache. */
  readonly sharing?: CacheSharing;
  /** Told of each user whose copy is dropped, before it is; for what else remembers the user. */
  readonly onForget?: (userId: string) => void;
}

export class CacheClient {
  /** Users whose copy in the cache may be older than an acknowledged write. */
  readonly #suspects = new Map<string, Suspicion>();
  #distrustAllUntilMs: number | undefined;
  /** While all others are distrusted: those whose copy was put right since. */
  readonly #trusted = new Set<string>();
  readonly #cache: Cache;
  readonly #sharing: CacheSharing;
  #fillBytes = 0;

  constructor(private readonly parts: CacheClientParts) {
    this.#cache = parts.cache;
    this.#sharing = parts.sharing ?? UNSHARED;
  }

  async get(userId: string): Promise<CachedEntry | undefined> {
    if (this.#isSuspect(userId)) return undefined;
    try {
      const found = await this.#cache.get(userId);
      return found === undefined || this.#sharing.isSure ? found : { ...found, source: "stale" };
    } catch (error) {
      this.parts.onFault(error);
      return undefined;
    }
  }

  /**
   * After these became durable, one call. Never rejects: of whom the cache did not take it the copy
   * is not read until it has been put right.
   */
  async offer(entries: readonly Entry[]): Promise<void> {
    await this.#succeeds(this.#cache.update(entries), entries);
  }

  /**
   * After a flush: when this is done, nobody reads older copies of these users, here or in another
   * instance that shares the cache.
   * @throws when the cache fails, and the others cannot be told of it either
   */
  async update(entries: readonly Entry[]): Promise<void> {
    if (!await this.#succeeds(this.#cache.update(entries), entries)) await this.#sharing.outdate();
  }

  /** After the store refused entries that the cache may hold. @throws as {@link update} */
  async forget(entries: readonly Entry[]): Promise<void> {
    const newestOf = new Map<string, Entry>();
    for (const entry of entries) {
      newestOf.set(entry.userId, newest(newestOf.get(entry.userId), entry) ?? entry);
    }
    const forgotten = await Promise.all([...newestOf.values()].map((entry) => this.#forget(entry)));
    if (forgotten.includes(false)) await this.#sharing.outdate();
  }

  /**
   * After the store went back, and its generation of copies with it: those that had been outdated
   * since would count again. @throws as {@link update}
   */
  async outdateAll(): Promise<void> {
    await this.#sharing.outdate();
  }

  async #forget(entry: Entry): Promise<boolean> {
    const { userId } = entry;
    this.parts.onForget?.(userId);
    try {
      await this.#cache.forget(userId, entry);
      return true;
    } catch (error) {
      this.parts.onFault(error);
      this.#suspect([{ userId }]);
      return false;
    }
  }

  /** To be taken before a look-up in the store, and given to {@link fill} with what it found. */
  get generation(): string | undefined {
    return this.#sharing.text;
  }

  /**
   * After a read from the store: `entry` is the newest it has. Does not keep the reader waiting.
   * Found in an earlier generation it may be just what that one was ended for. One that finds no
   * room is left out: the next reader looks it up again.
   */
  fill(entry: Entry, generation: string | undefined): void {
    if (generation !== this.#sharing.text) return;
    const bytes = bytesOf(entry);
    if (this.#fillBytes + bytes > MEMORY_BUDGET.cacheFills.bytes) return;
    this.#fillBytes += bytes;
    const { userId } = entry;
    const suspicion = this.#suspects.get(userId);
    const distrust = this.#distrustAllUntilMs;
    void this.#succeeds(this.#cache.fill([entry]), [entry]).then((done) => {
      this.#fillBytes -= bytes;
      // A doubt that arose meanwhile is about a newer write.
      const sameDoubt = this.#suspects.get(userId) === suspicion &&
        this.#distrustAllUntilMs === distrust;
      if (done && sameDoubt && this.#isOver(suspicion?.untilMs) && this.#isOver(distrust)) {
        this.#trust(userId);
      }
    });
  }

  /**
   * What the cache holds may be older than acknowledged writes of an earlier run: no copy is read
   * that this run did not fill.
   */
  distrustAll(): void {
    this.#suspects.clear();
    this.#trusted.clear();
    this.#distrustAllUntilMs = this.#latestExpiryMs();
  }

  /** No copy is known, or feared, to be older than an acknowledged write. */
  get current(): boolean {
    this.#dropExpired();
    return this.#suspects.size === 0 && this.#distrustAllUntilMs === undefined;
  }

  close(): Promise<void> {
    return this.#cache.close();
  }

  async #succeeds(call: Promise<void>, entries: readonly Entry[]): Promise<boolean> {
    try {
      await call;
      return true;
    } catch (error) {
      this.parts.onFault(error);
      // It may still arrive, after something newer was there and was lost again.
      this.#suspect(
        error instanceof CacheStaleError ? error.userIds.map((userId) => ({ userId })) : entries,
      );
      return false;
    }
  }

  #suspect(entries: readonly Pick<Entry, "userId">[]): void {
    const untilMs = this.#latestExpiryMs();
    for (const { userId } of entries) {
      this.#trusted.delete(userId);
      // Deleted first, so that the order of the map is the order of expiry.
      this.#suspects.delete(userId);
      this.#suspects.set(userId, { untilMs });
    }
    if (this.#suspects.size > MAX_SUSPECTS) this.distrustAll();
  }

  /** Of a copy that is there now, or comes late. */
  #latestExpiryMs(): number {
    return this.parts.clock.monotonicMs() + CACHE_LATE_EFFECT_MS + this.parts.ttlMs;
  }

  /** Nothing of what raised a doubt can take effect any more, and undo what has put it right. */
  #isOver(untilMs: number | undefined): boolean {
    return untilMs === undefined || this.parts.clock.monotonicMs() >= untilMs - this.parts.ttlMs;
  }

  #trust(userId: string): void {
    this.#suspects.delete(userId);
    if (this.#distrustAllUntilMs !== undefined && this.#trusted.size < MAX_TRUSTED) {
      this.#trusted.add(userId);
    }
  }

  #isSuspect(userId: string): boolean {
    if (this.#suspects.size === 0 && this.#distrustAllUntilMs === undefined) return false;
    this.#dropExpired();
    if (this.#distrustAllUntilMs !== undefined && !this.#trusted.has(userId)) return true;
    return this.#suspects.has(userId);
  }

  #dropExpired(): void {
    const now = this.parts.clock.monotonicMs();
    if (this.#distrustAllUntilMs !== undefined && this.#distrustAllUntilMs <= now) {
      this.#distrustAllUntilMs = undefined;
      this.#trusted.clear();
    }
    for (const [userId, { untilMs }] of this.#suspects) {
      if (untilMs > now) return;
      this.#suspects.delete(userId);
    }
  }
}
