import type { Entry } from "../domain.ts";

/**
 * Where delivery takes durable entries from, in the order in which they became durable: the journal
 * of this process, later a broker's consumer.
 */
export interface Source {
  /** Entries, durable or about to be, that are not settled, those that were taken among them. */
  readonly unsettled: number;
  /**
   * Begins anew with the first entry that is not settled, whatever was taken before.
   * @returns how far each source is settled whose entries are still here, and the one that was
   *   settled last, for {@link rewind}
   */
  open(): Promise<ReadonlyMap<string, number>>;
  /**
   * The next durable entries after those taken before, at most `maxRows` and a bounded number of
   * bytes, all of one source; undefined when there are none.
   */
  take(maxRows: number): Promise<Batch | undefined>;
  /** The sink has every entry through `batch.lastSeq`. Calls come in the order of {@link take}. */
  settle(batch: Batch): Promise<void>;
  /**
   * What was settled is not: the sink has `source` through `seq` only. What is still here of it is
   * given again by {@link take}, before all that comes after it: as after {@link open}, that begins
   * with the first entry that is not settled, whatever was taken before. To be called while nothing
   * that was taken is being settled.
   */
  rewind(source: string, seq: number): Promise<Rewound>;
}

/** Some entries of one source, in order. */
export interface Batch {
  /** Names one run of one instance: within it a number is never given out twice. */
  readonly source: string;
  /** Ascending by `seq`; never empty. */
  readonly entries: readonly Entry[];
  /** The number through which this batch settles its source: that of its last entry. */
  readonly lastSeq: number;
}

export interface Rewound {
  /** Entries that will be given again. */
  readonly entries: number;
  /** The last number that is gone from here, too, and cannot be sent again; undefined for none. */
  readonly missingThrough: number | undefined;
}
