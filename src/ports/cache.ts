import type { Entry, Version } from "../domain.ts";

/**
 * For so many milliseconds after its call an update or a fill that was rejected may still take
 * effect. It may not later: then it could put back what has been outdated, and forgotten, since.
 */
export const CACHE_LATE_EFFECT_MS = 1_000;

/** Only the cache that gave it out reads it. */
export type FillToken = string;

/**
 * Keeps a bounded, expiring copy of the latest entries. It never lets an older entry replace a
 * newer one. It may forget at any time, but never goes back to what it had before. It rejects
 * (never hangs) on a fault; callers take a fault for a miss.
 */
export interface Cache {
  /** Answers at once what it has in memory: a promise a read is worth saving. */
  get(userId: string): CachedEntry | undefined | Promise<CachedEntry | undefined>;
  /**
   * Offers entries on the write path: each of them is durable, while the store may hold a newer
   * one. An entry stored over a complete one stays complete, because the newest of all is still the
   * newest of all.
   *
   * Of each user the newest wins against what is there. Resolves once nothing older is held of
   * these users: each entry is there, or what was there is dropped.
   * @param areStored the store has them, so that one may be left out of whose user nothing is held;
   *   tokens that were given out before are good for nothing from here on
   * @throws CacheStaleError naming the users of whom something older may be held; any other error
   *   means all of them
   */
  update(entries: readonly Entry[], areStored?: boolean): Promise<void>;
  /**
   * Gives out what {@link fill} needs, before a look-up.
   * @returns undefined while nothing can be filled in
   */
  token(): Promise<FillToken | undefined>;
  /**
   * Offers entries after a look-up: each is the newest that the store has, so what is held of its
   * user is complete from here on. Otherwise it does as {@link update} does.
   * @returns false when none was taken, as what was found may be outdated: since the token was given
   *   out the store got other entries, or what kept older ones out was lost
   */
  fill(entries: readonly Entry[], token: FillToken): Promise<boolean>;
  /**
   * Drops what is held of a user, whatever its version.
   * @param atLeast of updates and fills that are still under way, here or in another instance, none
   *   with this entry or an older one may take effect after it; tokens that were given out before
   *   are good for nothing
   */
  forget(userId: string, atLeast?: Version): Promise<void>;
  close(): Promise<void>;
}

export interface CachedEntry {
  readonly entry: Entry;
  /**
   * It is true when nothing newer was in the store as this was filled in. If it is false, the store
   * has to be asked too.
   */
  readonly complete: boolean;
  /**
   * `local` was answered in this process, `redis` over the network; `stale` was either, while
   * nobody can say that it is still good.
   */
  readonly source: "local" | "redis" | "stale";
}
