/**
 * Keeps copies in this process of what Redis answered, each until Redis says that it changed, or
 * the epoch is another one.
 */
import { LRUCache } from "lru-cache";
import type { Entry } from "../../domain.ts";
import { bytesOf, pack, type PackedEntry, unpack } from "../../packed.ts";
import type { Cache, CachedEntry } from "../../ports/cache.ts";
import type { Clock } from "../../ports/clock.ts";

export interface LocalLimits {
  readonly maxEntries: number;
  /** They are counted as {@link bytesOf} counts them. */
  readonly maxBytes: number;
}

/** Redis replied this, and it is good under this epoch. */
export interface Reply {
  readonly found: CachedEntry | undefined;
  readonly epoch: string | undefined;
}

interface Copy {
  readonly found: Omit<CachedEntry, "entry"> & { readonly entry: PackedEntry };
  readonly epoch: string | undefined;
}

interface Flight {
  readonly found: Promise<CachedEntry | undefined>;
}

export class LocalCopies {
  readonly #copies: LRUCache<string, Copy>;
  /**
   * These reads are under way. One that was forgotten meanwhile is no longer here when its reply
   * comes, and leaves no copy.
   */
  readonly #flights = new Map<string, Flight>();

  /**
   * Keeps nothing at first.
   * @param epoch under which copies are good now; undefined: none is
   */
  constructor(
    { maxEntries, maxBytes }: LocalLimits,
    ttlMs: number,
    private readonly epoch: () => string | undefined,
    clock: Pick<Clock, "monotonicMs">,
  ) {
    this.#copies = new LRUCache<string, Copy>({
      max: maxEntries,
      maxSize: maxBytes,
      sizeCalculation: ({ found }) => bytesOf(found.entry),
      ttl: ttlMs,
      // Otherwise the package starts a timer to know when it may read the clock again.
      ttlResolution: 0,
      perf: { now: () => clock.monotonicMs() },
    });
  }

  /**
   * Returns a copy, or asks for one.
   * @param read asks Redis
   */
  get(userId: string, read: () => Promise<Reply>): ReturnType<Cache["get"]> {
    const copy = this.#copies.get(userId);
    if (copy !== undefined && copy.epoch === this.epoch()) return unpackCopy(copy);
    const flying = this.#flights.get(userId);
    if (flying !== undefined) return flying.found;
    const flight: Flight = {
      found: read().then(({ found, epoch }) => {
        if (this.#land(userId, flight) && found !== undefined) {
          const copy = { ...found, entry: pack(found.entry), source: "local" as const };
          this.#copies.set(userId, { found: copy, epoch });
        }
        return found;
      }, (error) => {
        this.#land(userId, flight);
        throw error;
      }),
    };
    this.#flights.set(userId, flight);
    return flight.found;
  }

  #land(userId: string, flight: Flight): boolean {
    return this.#flights.get(userId) === flight && this.#flights.delete(userId);
  }

  forget(userId: string): void {
    this.#copies.delete(userId);
    this.#flights.delete(userId);
  }

  clear(): void {
    this.#copies.clear();
    this.#flights.clear();
  }
}

function unpackCopy({ found }: Copy): CachedEntry {
  const entry = unpack(found.entry);
  return entry === found.entry ? found as CachedEntry : { ...found, entry };
}

/** Copies of such a cache can be kept here, because its server tells of changes. */
export interface TrackedCache extends Cache {
  /** Does as {@link Cache.get}, and says under which epoch the result is good. */
  read(userId: string): Promise<Reply>;
  /** It says whether the server will tell when something changes that was read. */
  readonly tracks: boolean;
}

/**
 * Returns the cache with copies in this process before it: what is changed from here is copied
 * anew.
 */
export function withLocalCopies(cache: TrackedCache, copies: LocalCopies): Cache {
  const dropping = async <T>(userIds: readonly string[], call: Promise<T>) => {
    try {
      return await call;
    } finally {
      // The server says so too, but perhaps a moment later. And after a failure nobody knows what
      // it has.
      for (const userId of userIds) copies.forget(userId);
    }
  };
  const usersOf = (entries: readonly Entry[]) => entries.map(({ userId }) => userId);
  return {
    get: (userId) =>
      cache.tracks ? copies.get(userId, () => cache.read(userId)) : cache.get(userId),
    update: (entries, areStored) => dropping(usersOf(entries), cache.update(entries, areStored)),
    token: () => cache.token(),
    fill: (entries, token) => dropping(usersOf(entries), cache.fill(entries, token)),
    forget: (userId, atLeast) => dropping([userId], cache.forget(userId, atLeast)),
    close: () => cache.close(),
  };
}
