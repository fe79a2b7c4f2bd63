/**
 * The read path: pending → cache (local, then Redis) → store. Answers with the newest entry that
 * any tier has to offer; a tier that is down is passed over while another one can answer.
 */
import type { CacheClient } from "./cache_client.ts";
import { type Entry, newest } from "../domain.ts";
import { AppError, StoreRefusesError } from "../errors.ts";
import type { Pending } from "../intake/pending.ts";
import type { Store } from "../ports/store.ts";

export interface ReadResult {
  readonly entry: Entry;
  /** `stale`: right within the last `CACHE_TTL`; nobody could be asked. */
  readonly source: "pending" | "local" | "redis" | "store" | "stale";
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
    private readonly onRefused: () => void = () => {},
  ) {}

  /** @throws AppError `store-unavailable` when no tier can answer. */
  async read(userId: string): Promise<ReadResult | undefined> {
    const { settlements } = this.pending;
    const { generation } = this.cache;
    // The tiers are asked in the order in which an entry moves through them, so that none can slip
    // past.
    const pending = await this.pending.get(userId);
    const cached = await this.cache.get(userId);
    let best = newest(pending, cached?.entry);
    if (!cached?.complete) {
      if (best === undefined && this.cache.lastKnown.isAbsent(userId)) return undefined;
      let stored: Entry | undefined;
      try {
        stored = await this.#latestInStore(userId);
      } catch (error) {
        if (error instanceof StoreRefusesError) this.onRefused();
        return this.#withoutStore(userId, best, pending, error);
      }
      this.#complete(userId, newest(stored, cached?.entry), settlements, generation);
      best = newest(best, stored);
    }
    if (best === undefined) return undefined;
    this.cache.lastKnown.found(best);
    if (best === pending) return { entry: best, source: "pending" };
    return { entry: best, source: best === cached?.entry ? cached.source : "store" };
  }

  /**
   * Nothing was learned when a batch was settled meanwhile: the cache may have lost it since, and
   * this may be older.
   */
  #complete(
    userId: string,
    newestKnown: Entry | undefined,
    settlements: number,
    generation: string | undefined,
  ): void {
    if (this.pending.settlements !== settlements) return;
    if (newestKnown !== undefined) this.cache.fill(newestKnown, generation);
    else if (!this.pending.has(userId)) this.cache.lastKnown.foundNothing(userId);
  }

  /**
   * An accepted write is a better answer than none, even where a newer one might be out of reach;
   * so is an old answer.
   */
  #withoutStore(
    userId: string,
    best: Entry | undefined,
    pending: Entry | undefined,
    cause: unknown,
  ): ReadResult {
    const entry = newest(best, this.cache.lastKnown.stale(userId));
    if (entry === undefined) {
      const why = cause instanceof StoreRefusesError ? "refuses to be read" : "cannot be reached";
      throw new AppError(
        "store-unavailable",
        `The database ${why}, and the value is in no cache. Try again.`,
        {
          cause,
        },
      );
    }
    return { entry, source: entry === pending ? "pending" : "stale" };
  }

  /**
   * One look-up at a time for a user; but none is joined that began before the last settlement, as
   * it may be too old.
   */
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
