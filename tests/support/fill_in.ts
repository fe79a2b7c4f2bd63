/** Fills caches as a reader does after a look-up. */
import type { Entry } from "../../src/domain.ts";
import type { Cache } from "../../src/ports/cache.ts";

/**
 * Fills in what a look-up has just found.
 * @returns false when that cannot be, or the cache takes none
 */
export async function fillIn(cache: Cache, entries: readonly Entry[]): Promise<boolean> {
  const token = await cache.token();
  return token !== undefined && await cache.fill(entries, token);
}

/** Offers an entry as a look-up does, when it is complete, or as the write path does. */
export async function offer(cache: Cache, entry: Entry, isComplete: boolean): Promise<void> {
  if (isComplete) await fillIn(cache, [entry]);
  else await cache.update([entry]);
}
