/**
 * What the core asks of the outside: a queue that keeps accepted writes, a store that has them for good, a cache in
 * front of it, and a clock. Adapters fill these; one contract suite a port (tests/contract/) holds them to the words below.
 */
import type { Entry, Version, Write } from "./domain.ts";

/**
 * Holds accepted writes until the store has them. Ordered: entries come out in the sequence they went in.
 * The default is the journal (src/journal/).
 */
export interface Queue {
  /**
   * Accepts a write and gives it its version at once; `durable` settles later.
   * @throws AppError `queue-full` at the byte cap or on a full disk, `journal-failed` when nothing can be made durable any
   *   more, `shutting-down` once closed, `body-too-large` for more than a record can hold.
   */
  push(write: Write): Receipt;
  /**
   * The next durable entries after those taken before, at most `maxRows` and a bounded number of bytes; undefined when
   * there are none. What was taken and not acknowledged is taken again only after a restart: the caller keeps it.
   */
  take(maxRows: number): Promise<Batch | undefined>;
  /** The store has every entry through `batch.lastSeq`. Calls come in the order of `take`. */
  ack(batch: Batch): Promise<void>;
  /** One unacknowledged, durable entry by its sequence number; undefined once it may be gone. */
  read(seq: number): Promise<Entry | undefined>;
  stats(): QueueStats;
  /**
   * What {@link close} was told at the end of the last run; false after a crash. True for a queue that has never held anything:
   * then no cache can hold an older copy of it.
   */
  readonly cacheWasCurrent: boolean;
  /**
   * The last batch that the store was known to have when this run began, by its mark: the store's mark of that source is not
   * below it, unless it is another store, or an older state of it. Undefined when nothing is known.
   */
  readonly settledBefore: { readonly source: string; readonly seq: number } | undefined;
  /**
   * Makes everything pushed durable, then releases files and locks.
   * @param cacheCurrent the cache holds nothing older than what was acknowledged to it; for the next start to know
   */
  close(cacheCurrent?: boolean): Promise<void>;
}

export interface Receipt {
  readonly entry: Entry;
  /** Resolves when the entry would survive a power loss; rejects with AppError `journal-failed` or `queue-full` when it never will. */
  readonly durable: Promise<void>;
}

export interface Batch {
  /** Names one ordered run of sequence numbers; the store keeps one high-water mark for each. */
  readonly source: string;
  /** Ascending by `seq`, all of one instance; never empty. */
  readonly entries: readonly Entry[];
  /** The highest sequence number that this batch settles: that of its last entry. */
  readonly lastSeq: number;
}

export interface QueueStats {
  /** This process's stable name, in every write id. */
  readonly instance: string;
  /** Entries accepted and not yet acknowledged. */
  readonly depth: number;
  /** When the oldest of them was accepted, Unix milliseconds; undefined when there are none. */
  readonly oldestAcceptedMs: number | undefined;
  /** Bytes held on disk, or queued for it. */
  readonly bytes: number;
  /** The last sequence number given out, and the last one acknowledged. */
  readonly lastSeq: number;
  readonly ackedSeq: number;
  /** Why nothing can be accepted any more; undefined while all is well. */
  readonly failure: string | undefined;
  /** Why writes have just been refused for want of room, which may come back; undefined when none was for a while. */
  readonly lackOfRoom: string | undefined;
}

/** The system of record. Every call may be retried safely; each rejects (never hangs) when the store is away. */
export interface Store {
  /**
   * Makes sure the schema and the source's mark exist, and returns the mark: the highest sequence number of `source` that
   * the store has; 0 for a new source. To be called before the first `put` of a source.
   */
  open(source: string): Promise<number>;
  /**
   * Inserts the entries and moves the source's mark to the last one's `seq`, in one transaction. Entries at or below the
   * mark are left out, so a repeat after a lost answer writes nothing twice. A row that is refused while others go through is
   * kept among the dead letters, in that same transaction.
   * @param confirmedSeq the mark that the caller has been told of, or found, before
   * @throws StoreRefusesError when every row is refused alike, as the table then is at fault; StoreWentBackError when the mark is
   *   below `confirmedSeq`; nothing is written then
   */
  put(source: string, entries: readonly Entry[], confirmedSeq: number): Promise<PutResult>;
  /** The newest entry of a user by {@link compareVersions}; undefined when there is none. */
  latest(userId: string): Promise<Entry | undefined>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface PutResult {
  /** Rows inserted by this call. */
  readonly rows: number;
  /** Those of the entries that are dead letters, by this call or by an earlier one whose answer was lost. */
  readonly dead: readonly RefusedEntry[];
}

export interface RefusedEntry extends Rejection {
  readonly seq: number;
}

/** Who the store is, and which copies in caches that instances share are still to be believed. Errors as {@link Store}'s. */
export interface StoreIdentity {
  identify(): Promise<Identity>;
  /** No copy made so far is to be believed by anybody: one is outdated, and nothing else can be done about it. */
  outdateCopies(): Promise<Identity>;
}

export interface Identity {
  /** The same for ever, wherever the database is moved to. */
  readonly id: string;
  /** Copies made under another one are outdated. */
  readonly cacheGeneration: string;
}

/** Why a store refused an entry. */
export interface Rejection {
  readonly code: string;
  readonly message: string;
}

/** The entries that the store refused, kept in it until a person decides. Errors as {@link Store}'s. */
export interface DeadLetters {
  count(): Promise<number>;
  /** At most `limit`, by source and sequence number, those after `after`. */
  list(limit: number, after?: Pick<DeadLetter, "source" | "seq">): Promise<DeadLetter[]>;
  /** @param id a write id */
  find(id: string): Promise<DeadLetter | undefined>;
  /**
   * Inserts the entry as it was accepted and removes the dead letter, in one transaction: a repeat finds nothing to do.
   * @returns the entry; undefined when there is no such dead letter
   * @throws RejectedRowError when it is refused again; it stays, with one attempt more
   */
  replay(id: string): Promise<Entry | undefined>;
  /** False when there is no such dead letter. */
  discard(id: string): Promise<boolean>;
}

export interface DeadLetter extends Entry, Rejection {
  readonly source: string;
  /** Unix milliseconds of the first refusal. */
  readonly failedAtMs: number;
  readonly attempts: number;
}

/**
 * How long after its call a set that was rejected may still take effect, milliseconds. Not later: then it could put back what
 * has been outdated, and forgotten, since.
 */
export const CACHE_LATE_EFFECT_MS = 1_000;

/**
 * A bounded, expiring copy of latest entries. Never lets an older entry replace a newer one. May forget at any time, but never
 * goes back to what it had before. Rejects (never hangs) on a fault; callers take a fault for a miss.
 */
export interface Cache {
  get(userId: string): Promise<CachedEntry | undefined>;
  /**
   * Offers entries; of each user the newest wins against what is there.
   * @param complete true when each entry is known to be the newest the store has (it was just read from there); false on the
   *   write path, where the store may hold a newer one. An entry stored over a complete one stays complete, because the newest
   *   of all is still the newest of all.
   *
   * Resolves once nothing older is held of these users: each entry is there, or what was there is dropped.
   * @throws CacheStaleError naming the users of whom something older may be held; any other error means all of them
   */
  setMany(entries: readonly Entry[], complete: boolean): Promise<void>;
  /**
   * Drops what is held of a user, whatever its version.
   * @param atLeast of sets that are still under way, here or in another instance, none with an older entry may take effect after it
   */
  forget(userId: string, atLeast?: Version): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface CachedEntry {
  readonly entry: Entry;
  /** Nothing newer was in the store when this was filled in. If false, ask the store too. */
  readonly complete: boolean;
  /** `local`: answered in this process; `redis`: over the network; `stale`: either, while nobody can say that it is still good. */
  readonly source: "local" | "redis" | "stale";
}

/** Time, replaceable so that tests decide how it passes. */
export interface Clock {
  /** Unix milliseconds; set forward and back by whoever keeps the machine's time. */
  now(): number;
  /** Milliseconds since some moment, never set: for how long something takes or lasts. */
  monotonicMs(): number;
  setInterval(callback: () => void, intervalMs: number): () => void;
  setTimeout(callback: () => void, delayMs: number): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setInterval(callback, intervalMs) {
    const id = setInterval(callback, intervalMs);
    return () => clearInterval(id);
  },
  setTimeout(callback, delayMs) {
    const id = setTimeout(callback, delayMs);
    return () => clearTimeout(id);
  },
};
