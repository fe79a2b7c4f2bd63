/**
 * Copies in this process of what Redis answered: each until Redis says that it changed, or the
 * epoch is another one.
 */
import { LRUCache } from "lru-cache";
import type { CachedEntry } from "../../ports/cache.ts";

export interface LocalLimits {
  readonly maxEntries: number;
  /** Text counts two bytes for each UTF-16 unit. */
  readonly maxBytes: number;
}

/**
 * What a copy costs besides its text: its objects, its place in the map. Deliberately on the high
 * side.
 */
const COPY_OVERHEAD_BYTES = 256;

/** What Redis answered, and under which epoch that is good. */
export interface Answer {
  readonly found: CachedEntry | undefined;
  readonly epoch: string | undefined;
}

interface Copy extends Answer {
  readonly found: CachedEntry;
}

interface Flight {
  readonly answer: Promise<CachedEntry | undefined>;
}

export class LocalCopies {
  readonly #copies: LRUCache<string, Copy>;
  /**
   * Reads under way. One that was forgotten meanwhile is no longer here when its answer comes, and
   * leaves no copy.
   */
  readonly #flights = new Map<string, Flight>();

  /** @param epoch under which copies are good now; undefined: none is */
  constructor(
    { maxEntries, maxBytes }: LocalLimits,
    ttlMs: number,
    private readonly epoch: () => string | undefined,
  ) {
    this.#copies = new LRUCache<string, Copy>({
      max: maxEntries,
      maxSize: maxBytes,
      sizeCalculation: ({ found: { entry } }) =>
        COPY_OVERHEAD_BYTES + 2 * (entry.userId.length + entry.value.length),
      ttl: ttlMs,
      // Otherwise the package starts a timer to know when it may read the clock again.
      ttlResolution: 0,
    });
  }

  /** @param read asks Redis */
  get(userId: string, read: () => Promise<Answer>): Promise<CachedEntry | undefined> {
    const copy = this.#copies.get(userId);
    if (copy !== undefined && copy.epoch === this.epoch()) return Promise.resolve(copy.found);
    const flying = this.#flights.get(userId);
    if (flying !== undefined) return flying.answer;
    const flight: Flight = {
      answer: read().then(({ found, epoch }) => {
        const copy = found && { found: { ...found, source: "local" as const }, epoch };
        if (this.#land(userId, flight) && copy) this.#copies.set(userId, copy);
        return found;
      }, (error) => {
        this.#land(userId, flight);
        throw error;
      }),
    };
    this.#flights.set(userId, flight);
    return flight.answer;
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
