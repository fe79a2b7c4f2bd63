/**
 * Reads a user from the tiers in turn: pending, then the cache (local, then Redis), then the store.
 * It answers with the newest entry that any of them has to offer; a tier that is down is passed
 * over while another one can answer.
 */
import type { CacheClient } from "./cache_client.ts";
import { type Entry, newest } from "../domain.ts";
import { AppError, StoreRefusesError } from "../errors.ts";
import type { Pending } from "../intake/pending.ts";
import type { LastKnown } from "./last_known.ts";
import type { Store } from "../ports/store.ts";

export interface ReadResult {
  readonly entry: Entry;
  /** `stale` was right within the last `CACHE_TTL`, and nobody could be asked. */
  readonly source: "pending" | "local" | "redis" | "store" | "stale";
}

interface Flight {
  readonly settlements: number;
  readonly result: Promise<Entry | undefined>;
}

interface ReaderParts {
  readonly pending: Pick<Pending, "get" | "has" | "settlements">;
  readonly cache: Pick<CacheClient, "get" | "fill" | "generation">;
  readonly lastKnown: LastKnown;
  readonly store: Pick<Store, "latest">;
  /** It counts each read that was answered, by where the answer came from. */
  readonly count: { inc(labels: { readonly source: ReadResult["source"] | "none" }): void };
  /** It is told when the store answers, and refuses the look-up. */
  readonly onStoreRefuses?: () => void;
}

export class Reader {
  readonly #flights = new Map<string, Flight>();

  constructor(private readonly parts: ReaderParts) {}

  /**
   * Returns the newest entry of a user; undefined when there is none.
   * @throws AppError `store-unavailable` when no tier can answer
   */
  async read(userId: string): Promise<ReadResult | undefined> {
    const result = await this.#find(userId);
    this.parts.count.inc({ source: result?.source ?? "none" });
    return result;
  }

  async #find(userId: string): Promise<ReadResult | undefined> {
    const { pending, cache, lastKnown } = this.parts;
    const { settlements } = pending;
    const { generation } = cache;
    // The tiers are asked in the order in which an entry moves through them, so that none can slip
    // past.
    const held = pending.get(userId);
    // Hot reads wait for nobody but the cache: a turn of the microtask queue each is worth saving.
    const waiting = held instanceof Promise ? await held : held;
    const cached = await cache.get(userId);
    let best = newest(waiting, cached?.entry);
    if (!cached?.complete) {
      if (best === undefined && lastKnown.isAbsent(userId)) return undefined;
      let stored: Entry | undefined;
      try {
        stored = await this.#latestInStore(userId);
      } catch (error) {
        if (error instanceof StoreRefusesError) this.parts.onStoreRefuses?.();
        return this.#withoutStore(userId, best, waiting, error);
      }
      // The store may refuse what waits here, and the cache have forgotten it by now: a copy of it
      // counts as complete once the older row is filled in, and is not brought back.
      const known = pending.has(userId) ? stored : newest(stored, cached?.entry);
      this.#complete(userId, known, settlements, generation);
      best = newest(best, stored);
    }
    if (best === undefined) return undefined;
    lastKnown.found(best);
    if (best === waiting) return { entry: best, source: "pending" };
    return { entry: best, source: best === cached?.entry ? cached.source : "store" };
  }

  /**
   * Keeps what a look-up learned. That is nothing when a batch was settled meanwhile: the cache may
   * have lost it since, and this may be older.
   */
  #complete(
    userId: string,
    newestKnown: Entry | undefined,
    settlements: number,
    generation: string | undefined,
  ): void {
    const { pending, cache, lastKnown } = this.parts;
    if (pending.settlements !== settlements) return;
    if (newestKnown !== undefined) cache.fill(newestKnown, generation);
    else if (!pending.has(userId)) lastKnown.foundNothing(userId);
  }

  /**
   * Answers while the store cannot be asked: an accepted write is a better answer than none, even
   * where a newer one might be out of reach; so is an old answer.
   */
  #withoutStore(
    userId: string,
    best: Entry | undefined,
    waiting: Entry | undefined,
    cause: unknown,
  ): ReadResult {
    const entry = newest(best, this.parts.lastKnown.lastAnswer(userId));
    if (entry === undefined) {
      const why = cause instanceof StoreRefusesError ? "refuses to be read" : "cannot be reached";
      throw new AppError(
        "store-unavailable",
        `The database ${why}, and the value is in no cache. Try again.`,
        { cause },
      );
    }
    return { entry, source: entry === waiting ? "pending" : "stale" };
  }

  /**
   * Asks the store, with one look-up at a time for a user; but none is joined that began before the
   * last settlement, as it may be too old.
   */
  #latestInStore(userId: string): Promise<Entry | undefined> {
    const { settlements } = this.parts.pending;
    const flying = this.#flights.get(userId);
    if (flying?.settlements === settlements) return flying.result;
    const flight: Flight = {
      settlements,
      result: this.parts.store.latest(userId).finally(() => {
        if (this.#flights.get(userId) === flight) this.#flights.delete(userId);
      }),
    };
    this.#flights.set(userId, flight);
    return flight.result;
  }
}
