import type { Receipt } from "./intake.ts";
import type { Batch } from "./source.ts";
import type { Entry, Write } from "../domain.ts";

/**
 * Holds accepted writes until the store has them. Ordered: entries come out in the sequence they
 * went in. The default is the journal (src/journal/).
 */
export interface Queue {
  /**
   * Accepts a write and gives it its version at once; `durable` settles later.
   * @throws AppError `queue-full` at the byte cap or on a full disk, `journal-failed` when nothing
   *   can be made durable any more, `shutting-down` once closed, `body-too-large` for more than a
   *   record can hold.
   */
  push(write: Write): Receipt;
  /**
   * The next durable entries after those taken before, at most `maxRows` and a bounded number of
   * bytes; undefined when there are none. What was taken and not acknowledged is taken again only
   * after a restart: the caller keeps it.
   */
  take(maxRows: number): Promise<Batch | undefined>;
  /** The store has every entry through `batch.lastSeq`. Calls come in the order of `take`. */
  ack(batch: Batch): Promise<void>;
  /** One unacknowledged, durable entry by its sequence number; undefined once it may be gone. */
  read(seq: number): Promise<Entry | undefined>;
  stats(): QueueStats;
  /**
   * What {@link close} was told at the end of the last run; false after a crash. True for a queue
   * that has never held anything: then no cache can hold an older copy of it.
   */
  readonly cacheWasCurrent: boolean;
  /**
   * The last batch that the store was known to have when this run began, by its mark: the store's
   * mark of that source is not below it, unless it is another store, or an older state of it.
   * Undefined when nothing is known.
   */
  readonly settledBefore: { readonly source: string; readonly seq: number } | undefined;
  /**
   * Makes everything pushed durable, then releases files and locks.
   * @param cacheCurrent the cache holds nothing older than what was acknowledged to it; for the
   *   next start to know
   */
  close(cacheCurrent?: boolean): Promise<void>;
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
  /**
   * Why writes have just been refused for want of room, which may come back; undefined when none
   * was for a while.
   */
  readonly lackOfRoom: string | undefined;
}
