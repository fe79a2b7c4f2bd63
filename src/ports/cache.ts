import type { Entry, Version } from "../domain.ts";

/**
 * How long after its call an update or a fill that was rejected may still take effect, milliseconds. Not later:
 * then it could put back what has been outdated, and forgotten, since.
 */
export const CACHE_LATE_EFFECT_MS = 1_000;

/**
 * A bounded, expiring copy of latest entries. Never lets an older entry replace a newer one. May
 * forget at any time, but never goes back to what it had before. Rejects (never hangs) on a fault;
 * callers take a fault for a miss.
 */
export interface Cache {
  get(userId: string): Promise<CachedEntry | undefined>;
  /**
   * On the write path: offers entries, each of which is durable, while the store may hold a newer
   * one. An entry stored over a complete one stays complete, because the newest of all is still the
   * newest of all.
   *
   * Of each user the newest wins against what is there. Resolves once nothing older is held of
   * these users: each entry is there, or what was there is dropped.
   * @throws CacheStaleError naming the users of whom something older may be held; any other error
   *   means all of them
   */
  update(entries: readonly Entry[]): Promise<void>;
  /**
   * After a look-up: each entry is the newest that the store has, so what is held of its user is
   * complete from here on. Otherwise as {@link update}.
   */
  fill(entries: readonly Entry[]): Promise<void>;
  /**
   * Holds nothing of a user any more, whatever its version.
   * @param atLeast of updates and fills that are still under way, here or in another instance, none
   *   with this entry or an older one may take effect after it
   */
  forget(userId: string, atLeast?: Version): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface CachedEntry {
  readonly entry: Entry;
  /** Nothing newer was in the store when this was filled in. If false, ask the store too. */
  readonly complete: boolean;
  /**
   * `local`: answered in this process; `redis`: over the network; `stale`: either, while nobody can
   * say that it is still good.
   */
  readonly source: "local" | "redis" | "stale";
}
