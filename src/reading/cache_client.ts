/**
 * Is the cache as both halves share it: a fault is a miss, never a failed request, and a user whose
 * update failed is not read from the cache until it has been put right or the stale copy has
 * expired. After a start that does not know what the last run failed to update, that holds for
 * every user.
 */
import { type Entry, newestOfEach, type ValuelessEntry } from "../domain.ts";
import { CacheStaleError } from "../errors.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf } from "../packed.ts";
import {
  type Cache,
  CACHE_LATE_EFFECT_MS,
  type CachedEntry,
  type FillToken,
} from "../ports/cache.ts";
import type { Clock } from "../ports/clock.ts";
import { type CacheSharing, UNSHARED } from "./cache_sharing.ts";

/**
 * A suspect costs some 100 bytes; above this number all copies are passed over until they have
 * expired.
 */
const MAX_SUSPECTS = 100_000;
/** As many may be trusted; whoever is not among them has to be looked up. */
const MAX_TRUSTED = 100_000;

/** Each is a call of its own, and all calls under way have one deadline. */
const FORGOTTEN_AT_ONCE = 100;

interface Suspicion {
  /** The copy has expired then at the latest, by the monotonic clock. */
  readonly untilMs: number;
}

/**
 * What a look-up found longer ago is not filled in: whoever was stopped meanwhile, and goes on, may
 * have found what is older than anything that still keeps it out.
 */
const FILL_WITHIN_MS = 5_000;

/** It says when a look-up in the store began, in the words of those who share the cache. */
export interface LookUp {
  /** Copies were made of this generation then. */
  readonly generation: string | undefined;
  readonly token: FillToken | undefined;
  /** By the monotonic clock. */
  readonly begunMs: number;
}

interface CacheClientParts {
  readonly cache: Cache;
  /** The cache keeps a copy for so long. */
  readonly ttlMs: number;
  readonly clock: Clock;
  /** It is told of each call that failed. */
  readonly onFault: (error: unknown) => void;
  /** It is left out where nobody else has the cache. */
  readonly sharing?: CacheSharing;
  /**
   * It is told of each user whose copy is dropped, before it is, for what else remembers the user.
   */
  readonly onForget?: (userId: string) => void;
}

export class CacheClient {
  /** The copies of these users in the cache may be older than an acknowledged write. */
  readonly #suspects = new Map<string, Suspicion>();
  #distrustAllUntilMs: number | undefined;
  /** While all others are distrusted, the copies of these were put right since. */
  readonly #trusted = new Set<string>();
  readonly #cache: Cache;
  readonly #sharing: CacheSharing;
  #fillBytes = 0;

  constructor(private readonly parts: CacheClientParts) {
    this.#cache = parts.cache;
    this.#sharing = parts.sharing ?? UNSHARED;
  }

  /** It is true when other instances have the cache, too. */
  get isShared(): boolean {
    return this.#sharing !== UNSHARED;
  }

  /** Answers at once what is in memory. It never rejects. */
  get(userId: string): ReturnType<Cache["get"]> {
    if (this.#isSuspect(userId)) return undefined;
    const found = this.#cache.get(userId);
    if (!(found instanceof Promise)) return this.#judged(found);
    return found.then((found) => this.#judged(found), (error) => {
      this.parts.onFault(error);
      return undefined;
    });
  }

  #judged(found: CachedEntry | undefined): CachedEntry | undefined {
    return found === undefined || this.#sharing.isSure ? found : { ...found, source: "stale" };
  }

  /**
   * Offers entries that became durable, in one call. It never rejects: of whom the cache did not
   * take it the copy is not read until it has been put right.
   */
  async offer(entries: readonly Entry[]): Promise<void> {
    await this.#succeeds(this.#cache.update(entries), entries);
  }

  /**
   * Brings the entries of a flush to the cache: when this is done, nobody reads older copies of
   * these users, here or in another instance that shares the cache.
   * @throws when the cache fails, and the others cannot be told of it either
   */
  async update(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#underPresentGeneration(() =>
      this.#succeeds(this.#cache.update(entries, true), entries)
    );
  }

  /**
   * Drops the copies of entries that the store refused and the cache may hold.
   * @throws as {@link update}
   */
  async forget(entries: readonly ValuelessEntry[]): Promise<void> {
    const users = newestOfEach(entries);
    if (users.length === 0) return;
    await this.#underPresentGeneration(async () => {
      let areForgotten = true;
      for (let from = 0; from < users.length; from += FORGOTTEN_AT_ONCE) {
        const some = users.slice(from, from + FORGOTTEN_AT_ONCE);
        const done = await Promise.all(some.map((entry) => this.#forget(entry)));
        areForgotten &&= !done.includes(false);
      }
      return areForgotten;
    });
  }

  /**
   * Does its work again when another generation turns out to have begun meanwhile: under the former
   * one it is nobody's. Whoever fills in under one that begins later has looked into the store
   * after this flush.
   */
  async #underPresentGeneration(work: () => Promise<boolean>): Promise<void> {
    for (;;) {
      const { text } = this.#sharing;
      const [isDone] = await Promise.all([work(), this.#sharing.refresh()]);
      if (!isDone) return await this.#sharing.outdate();
      if (this.#sharing.text === text) return;
    }
  }

  /**
   * Outdates all copies after the store went back, and its generation of copies with it: those that
   * had been outdated since would count again.
   * @throws as {@link update}
   */
  async outdateAll(): Promise<void> {
    await this.#sharing.outdate();
  }

  async #forget(entry: ValuelessEntry): Promise<boolean> {
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

  /**
   * Has to be asked before a look-up in the store, and {@link fill} is given its answer with what
   * that found. It never rejects.
   */
  async beginLookUp(): Promise<LookUp> {
    const begun = { generation: this.#sharing.text, begunMs: this.parts.clock.monotonicMs() };
    try {
      return { ...begun, token: await this.#cache.token() };
    } catch (error) {
      this.parts.onFault(error);
      return { ...begun, token: undefined };
    }
  }

  /**
   * Keeps what a read found in the store, where `entry` is the newest; few readers have to wait for
   * that. What was found in an earlier generation is left out, as it may be just what that one was
   * ended for, and so is what finds no room: the next reader looks it up again.
   * @returns false where it is not kept, so that an older copy may still be there; never rejects
   */
  async fill(entry: Entry, { generation, token, begunMs }: LookUp): Promise<boolean> {
    if (token === undefined || generation !== this.#sharing.text) return false;
    if (this.parts.clock.monotonicMs() - begunMs > FILL_WITHIN_MS) return false;
    const bytes = bytesOf(entry);
    if (this.#fillBytes + bytes > MEMORY_BUDGET.cacheFills.bytes) return false;
    this.#fillBytes += bytes;
    const { userId } = entry;
    const suspicion = this.#suspects.get(userId);
    const distrust = this.#distrustAllUntilMs;
    const filling = Promise.try(() => this.#cache.fill([entry], token));
    const done = await this.#succeeds(filling, [entry]);
    this.#fillBytes -= bytes;
    // A doubt that arose meanwhile is about a newer write.
    const sameDoubt = this.#suspects.get(userId) === suspicion &&
      this.#distrustAllUntilMs === distrust;
    if (done && sameDoubt && this.#isOver(suspicion?.untilMs) && this.#isOver(distrust)) {
      this.#trust(userId);
    }
    return done;
  }

  /** Believes no copy of this user until a fill has put it right: a newer one was given out. */
  doubt(userId: string): void {
    this.#suspect([{ userId }]);
  }

  /**
   * Believes no copy that this run did not fill, as what the cache holds may be older than
   * acknowledged writes of an earlier run.
   */
  distrustAll(): void {
    this.#suspects.clear();
    this.#trusted.clear();
    this.#distrustAllUntilMs = this.#latestExpiryMs();
  }

  /** It is true when no copy is known, or feared, to be older than an acknowledged write. */
  get current(): boolean {
    this.#dropExpired();
    return this.#suspects.size === 0 && this.#distrustAllUntilMs === undefined;
  }

  close(): Promise<void> {
    return this.#cache.close();
  }

  /** Returns what the call does, or true where that is nothing; false after a fault. */
  async #succeeds(call: Promise<boolean | void>, entries: readonly Entry[]): Promise<boolean> {
    try {
      return await call ?? true;
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

  /** Returns when a copy that is there now, or comes late, has expired at the latest. */
  #latestExpiryMs(): number {
    return this.parts.clock.monotonicMs() + CACHE_LATE_EFFECT_MS + this.parts.ttlMs;
  }

  /**
   * Returns true when nothing of what raised a doubt can take effect any more, and undo what has
   * put it right.
   */
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
