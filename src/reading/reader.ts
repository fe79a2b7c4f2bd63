/**
 * Reads a user from the tiers in turn: pending, then the cache (local, then Redis), then the store.
 * It answers with the newest entry that any of them has to offer; a tier that is down is passed
 * over while another one can answer.
 */
import type { CacheClient, Copy, LookUp } from "./cache_client.ts";
import { type Entry, newest, type WriteId } from "../domain.ts";
import { AppError, StoreError, StoreRefusesError } from "../errors.ts";
import type { Pending } from "../intake/pending.ts";
import type { Intake } from "../ports/intake.ts";
import type { Arrivals } from "./arrivals.ts";
import type { LastKnown } from "./last_known.ts";
import type { Store } from "../ports/store.ts";
import { type RequestTrace, told } from "../telemetry/tracing.ts";

export interface ReadResult {
  readonly entry: Entry;
  /** `stale` was right within the last `CACHE_TTL`, and nobody could be asked. */
  readonly source: "pending" | "local" | "redis" | "store" | "stale";
}

type AnsweredBy = ReadResult["source"] | "none";

const ANSWERED_BY = ["pending", "local", "redis", "store", "stale", "none"] as const;

/** A look-up found this, or nothing. */
interface Found {
  readonly stored: Entry | undefined;
  readonly lookUp: LookUp;
}

/** A read has asked these before it answers. */
interface Asked {
  readonly waiting?: Entry | undefined;
  readonly cached?: Copy | undefined;
}

interface Flight {
  readonly settlements: number;
  readonly result: Promise<Found>;
}

interface ReaderParts {
  readonly pending: Pick<Pending, "get" | "has" | "settlements">;
  readonly cache: Pick<CacheClient, "get" | "fill" | "beginLookUp" | "doubt">;
  readonly lastKnown: LastKnown;
  readonly store: Pick<Store, "latest" | "marks">;
  readonly intake: Pick<Intake, "stageOf">;
  readonly arrivals: Pick<Arrivals, "wait">;
  /** It counts each read that was answered, by where the answer came from. */
  readonly counts: { series(labels: { readonly source: AnsweredBy }): { inc(): void } };
  /** It is told when the store answers, and refuses the look-up. */
  readonly onStoreRefuses?: () => void;
}

export class Reader {
  readonly #flights = new Map<string, Flight>();
  /** The store is being asked for the marks of these runs. */
  readonly #marks = new Map<string, Promise<number>>();

  readonly #counts: Readonly<Record<AnsweredBy, { inc(): void }>>;

  constructor(private readonly parts: ReaderParts) {
    const { counts } = parts;
    const series = ANSWERED_BY.map((source) => [source, counts.series({ source })]);
    this.#counts = Object.fromEntries(series);
  }

  /**
   * Returns the newest entry of a user; undefined when there is none. A hot read is answered at
   * once: a promise, and the turns of the microtask queue that it takes, are worth saving.
   * @throws AppError `store-unavailable` when no tier can answer
   */
  read(
    userId: string,
    trace?: RequestTrace,
  ): ReadResult | undefined | Promise<ReadResult | undefined> {
    // The tiers are asked in the order in which an entry moves through them, so that none can slip
    // past.
    const held = this.parts.pending.get(userId);
    if (held instanceof Promise) return this.#findBehind(userId, held, undefined, trace);
    const cached = this.parts.cache.get(userId);
    if (cached instanceof Promise || !cached?.complete) {
      return this.#findBehind(userId, held, cached, trace);
    }
    return this.#answer(newest(held, cached.entry), { waiting: held, cached });
  }

  /**
   * Returns the newest entry of a user as {@link read} does, and none that is older than this write,
   * whichever instance accepted it: what another one did is waited for until the store has it, and
   * is read there. Later reads here find nothing older either.
   * @throws AppError as {@link Arrivals.wait}; `store-unavailable` when the store cannot be asked
   */
  async readAfter(userId: string, write: WriteId): Promise<ReadResult | undefined> {
    const { pending, cache, intake, arrivals } = this.parts;
    // Of its own writes an instance knows that no tier here has anything older.
    if (intake.stageOf(write.run, write.seq) !== "unknown") return await this.read(userId);
    await arrivals.wait(write);
    const { settlements } = pending;
    const waiting = await pending.get(userId);
    const { stored, lookUp } = await this.#pastCaches(userId);
    const best = newest(waiting, stored);
    const seen = this.#seenOfNobody(userId, best);
    if (seen !== undefined) return await this.#answerSeen(seen);
    if (!await this.#complete(userId, stored, settlements, lookUp)) cache.doubt(userId);
    return await this.#answer(best, { waiting });
  }

  async #pastCaches(userId: string): Promise<Found> {
    try {
      return await this.#answerOf(this.#lookUp(userId));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      const detail = "The database cannot be read, and no cache is asked after a write. Try again.";
      throw new AppError("store-unavailable", detail, { cause: error });
    }
  }

  /** Waits for what is not in memory, and asks the store unless the cache has all. */
  async #findBehind(
    userId: string,
    held: ReturnType<Pending["get"]>,
    asked?: ReturnType<CacheClient["get"]>,
    trace?: RequestTrace,
  ): Promise<ReadResult | undefined> {
    const { pending, cache, lastKnown } = this.parts;
    const { settlements } = pending;
    const waiting = await held;
    const cached = await told(trace, "cache", held instanceof Promise ? cache.get(userId) : asked);
    let best = newest(waiting, cached?.entry);
    if (!cached?.complete) {
      if (best === undefined && lastKnown.isAbsent(userId)) return await this.#answer(best);
      let found: Found;
      try {
        found = await told(trace, "store", this.#answerOf(this.#latestInStore(userId)));
      } catch (error) {
        const believed = cached?.isDoubted ? waiting : best;
        return this.#withoutStore(userId, believed, waiting, error);
      }
      const { stored, lookUp } = found;
      best = newest(best, stored);
      const seen = this.#seenOfNobody(userId, best);
      if (seen !== undefined) return await this.#answerSeen(seen);
      // A newer copy counts as complete once the older row is filled in. It is not brought back: the
      // store may have refused it, and the cache have forgotten it by now.
      if (stored !== undefined || cached === undefined) {
        void this.#complete(userId, stored, settlements, lookUp);
      }
    }
    return await this.#answer(best, { waiting, cached });
  }

  /**
   * Returns what was answered before, where no tier has anything now. Of a row that another program
   * inserted that is nothing: it may have deleted it.
   */
  #seenOfNobody(userId: string, best: Entry | undefined): Entry | undefined {
    const seen = best === undefined ? this.parts.lastKnown.lastAnswer(userId) : undefined;
    return seen?.run === "" ? undefined : seen;
  }

  #answer(
    best: Entry | undefined,
    asked: Asked = {},
  ): ReadResult | undefined | Promise<ReadResult | undefined> {
    if (best === undefined) {
      this.#counts.none.inc();
      return undefined;
    }
    const { waiting, cached } = asked;
    const seen = this.parts.lastKnown.found(best);
    if (seen !== undefined) return this.#answerSeen(seen, best, asked);
    const source = best === waiting ? "pending" : best === cached?.entry ? cached.source : "store";
    return this.#result(best, source);
  }

  #result(entry: Entry, source: ReadResult["source"]): ReadResult {
    this.#counts[source].inc();
    return { entry, source };
  }

  /**
   * Answers with what was answered before, and is newer than what any tier has: another instance has
   * accepted it, the cache has lost it, and the store does not have it yet. Once the store has had
   * it, only the store knows what is left of it.
   */
  async #answerSeen(
    seen: Entry,
    best?: Entry,
    asked: Asked = {},
  ): Promise<ReadResult | undefined> {
    const { pending, lastKnown, intake } = this.parts;
    const { userId, run, seq } = seen;
    try {
      const isOthers = intake.stageOf(run, seq) === "unknown";
      if (isOthers && await this.#markOf(run) < seq) return this.#result(seen, "local");
      // What this instance has accepted itself is pending, or has had its turn.
      const waiting = await pending.get(userId);
      const { stored } = await this.#lookUp(userId);
      const known = newest(newest(best, waiting), stored);
      // It was refused. Not before that is known may others be answered with what is older.
      if (newest(known, seen) !== known) lastKnown.withdrew(seen);
      return await this.#answer(known, { ...asked, waiting });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return this.#result(seen, "stale");
    }
  }

  /** Asks the store how far it has a run; who asks at the same time has one answer. */
  #markOf(run: string): Promise<number> {
    let asked = this.#marks.get(run);
    if (asked === undefined) {
      asked = this.parts.store.marks([run]).then((marks) => marks.get(run) ?? 0)
        .finally(() => this.#marks.delete(run));
      this.#marks.set(run, asked);
    }
    return asked;
  }

  /**
   * Keeps what a look-up learned. That is nothing when a batch was settled meanwhile: the cache may
   * have lost it since, and this may be older.
   * @returns false when an older copy may still be there
   */
  async #complete(
    userId: string,
    newestKnown: Entry | undefined,
    settlements: number,
    lookUp: LookUp,
  ): Promise<boolean> {
    const { pending, cache, lastKnown } = this.parts;
    if (pending.settlements !== settlements) return false;
    if (newestKnown !== undefined) return await cache.fill(newestKnown, lookUp);
    if (!pending.has(userId)) lastKnown.foundNothing(userId);
    return true;
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
    const { lastKnown } = this.parts;
    const entry = newest(best, lastKnown.lastAnswer(userId));
    if (entry === undefined) {
      const why = cause instanceof StoreRefusesError ? "refuses to be read" : "cannot be reached";
      throw new AppError(
        "store-unavailable",
        `The database ${why}, and the value is in no cache. Try again.`,
        { cause },
      );
    }
    // It is not followed by what is older once the store is back, and the cache has lost it.
    if (entry === best) lastKnown.found(entry);
    return this.#result(entry, entry === waiting ? "pending" : "stale");
  }

  /** Waits for a look-up, and tells it when the store refuses that. */
  async #answerOf(found: Promise<Found>): Promise<Found> {
    try {
      return await found;
    } catch (error) {
      if (error instanceof StoreRefusesError) this.parts.onStoreRefuses?.();
      throw error;
    }
  }

  /**
   * Asks the store, with one look-up at a time for a user; but none is joined that began before the
   * last settlement, as it may be too old.
   */
  #latestInStore(userId: string): Promise<Found> {
    const { settlements } = this.parts.pending;
    const flying = this.#flights.get(userId);
    if (flying?.settlements === settlements) return flying.result;
    const flight: Flight = {
      settlements,
      result: this.#lookUp(userId).finally(() => {
        if (this.#flights.get(userId) === flight) this.#flights.delete(userId);
      }),
    };
    this.#flights.set(userId, flight);
    return flight.result;
  }
  async #lookUp(userId: string): Promise<Found> {
    const lookUp = await this.parts.cache.beginLookUp();
    return { stored: await this.parts.store.latest(userId), lookUp };
  }
}
