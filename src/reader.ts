/**
 * The read path: pending → cache (local, then Redis) → store. Answers with the newest entry that any tier has to offer;
 * a tier that is down is passed over while another one can answer.
 */
import type { CacheClient } from "./cache_client.ts";
import { type Entry, newest } from "./domain.ts";
import { AppError } from "./errors.ts";
import type { Pending } from "./pending.ts";
import type { Store } from "./ports.ts";

export interface ReadResult {
  readonly entry: Entry;
  readonly source: "pending" | "local" | "redis" | "store";
}

interface Flight {
  readonly settlements: number;
  readonly result: Promise<Entry | undefined>;
}

export class Reader {
  readonly #flights = new Map<string, Flight>();

  constructor(
    private readonly pending: Pending,
    private readonly cache: CacheClient,
    private readonly store: Store,
  ) {}

  /** @throws AppError `store-unavailable` when no tier can answer. */
  async read(userId: string): Promise<ReadResult | undefined> {
    // The tiers are asked in the order in which an entry moves through them, so that none can slip past.
    const pending = await this.pending.get(userId);
    const cached = await this.cache.get(userId);
    let best = newest(pending, cached?.entry);
    let stored: Entry | undefined;
    if (!cached?.complete) {
      try {
        stored = await this.#latestInStore(userId);
        const newestKnown = newest(stored, cached?.entry);
        if (newestKnown !== undefined) this.cache.fill(newestKnown);
      } catch (error) {
        // An accepted write is a better answer than none, even where a newer one might be out of reach.
        if (best === undefined) {
          throw new AppError(
            "store-unavailable",
            "The database cannot be reached, and the value is in no cache. Try again.",
            {
              cause: error,
            },
          );
        }
      }
      best = newest(best, stored);
    }
    if (best === undefined) return undefined;
    if (best === pending) return { entry: best, source: "pending" };
    return { entry: best, source: best === cached?.entry ? cached.source : "store" };
  }

  /** One look-up at a time for a user; but none is joined that began before the last settlement, as it may be too old. */
  #latestInStore(userId: string): Promise<Entry | undefined> {
    const { settlements } = this.pending;
    const flying = this.#flights.get(userId);
    if (flying?.settlements === settlements) return flying.result;
    const flight: Flight = {
      settlements,
      result: this.store.latest(userId).finally(() => {
        if (this.#flights.get(userId) === flight) this.#flights.delete(userId);
      }),
    };
    this.#flights.set(userId, flight);
    return flight.result;
  }
}
