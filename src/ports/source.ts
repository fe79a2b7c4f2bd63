import type { Entry } from "../domain.ts";

/**
 * Delivery takes durable entries from a source, in the order in which they became durable: from the
 * journal of this process, later from a broker's consumer.
 */
export interface Source {
  /**
   * So many entries, durable or about to be, are not settled; those that were taken are among them.
   */
  readonly unsettled: number;
  /**
   * Begins anew with the first entry that is not settled, whatever was taken before.
   * @returns how far each source is settled whose entries are still here, and the one that was
   *   settled last, for {@link rewind}
   */
  open(): Promise<ReadonlyMap<string, number>>;
  /**
   * Returns the next durable entries after those taken before, at most `maxRows` and a bounded
   * number of bytes, all of one source; undefined when there are none.
   */
  take(maxRows: number): Promise<Batch | undefined>;
  /**
   * Is told that the sink has every entry through `batch.lastSeq`. Calls come in the order of
   * {@link take}.
   */
  settle(batch: Batch): Promise<void>;
  /**
   * Is told that what was settled is not: the sink has `source` through `seq` only. What is still
   * here of it is given again by {@link take}, before all that comes after it: as after {@link
   * open}, that begins with the first entry that is not settled, whatever was taken before. It may
   * be called only while nothing that was taken is being settled.
   */
  rewind(source: string, seq: number): Promise<Rewound>;
}

/** A batch has some entries of one source, in order. */
export interface Batch {
  /** It names one run of one instance, within which a number is never given out twice. */
  readonly source: string;
  /** They ascend by `seq`, and there is at least one. */
  readonly entries: readonly Entry[];
  /** This batch settles its source through this number, which is that of its last entry. */
  readonly lastSeq: number;
  /**
   * Through this number the store had it, and what it does not have any more cannot be sent again.
   */
  readonly lostThroughSeq?: number;
}

export interface Rewound {
  /** So many entries will be given again. */
  readonly entries: number;
  /**
   * It is the last number that is gone from here, too, and cannot be sent again; undefined when
   * there is none.
   */
  readonly missingThrough: number | undefined;
}
