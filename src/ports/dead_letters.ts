import type { Entry } from "../domain.ts";

/** It says why a store refused an entry. */
export interface Rejection {
  readonly code: string;
  readonly message: string;
}

/** So many dead letters were refused with this code. */
export interface Reason {
  readonly code: string;
  readonly count: number;
}

export const REASONS_MAX = 20;
export const REASON_LETTERS_MAX = 100_000;

/** It names one of the entries that were put, and says why the store refused it. */
export interface RefusedEntry extends Rejection {
  readonly seq: number;
}

/**
 * Keeps the entries that the store refused, in that store, until a person decides. The errors are
 * those of {@link Store}.
 */
export interface DeadLetters {
  count(): Promise<number>;
  /**
   * Returns how many there are by code, the most frequent ones first: at most
   * {@link REASONS_MAX} codes, of at most {@link REASON_LETTERS_MAX} dead letters.
   */
  reasons(): Promise<readonly Reason[]>;
  /**
   * Returns at most `limit` dead letters that come after `after`, by source and sequence number.
   */
  list(limit: number, after?: Pick<DeadLetter, "source" | "seq">): Promise<DeadLetter[]>;
  /** @param id a write id */
  find(id: string): Promise<DeadLetter | undefined>;
  /**
   * Inserts the entry as it was accepted and removes the dead letter, in one transaction: a repeat
   * finds nothing to do.
   * @returns the entry; undefined when there is no such dead letter
   * @throws RejectedRowError when it is refused again; it stays, with one attempt more
   */
  replay(id: string): Promise<Entry | undefined>;
  /** Deletes a dead letter; resolves to false when there is no such one. */
  discard(id: string): Promise<boolean>;
}

export interface DeadLetter extends Entry, Rejection {
  readonly source: string;
  /** It is the time of the first refusal, in Unix milliseconds. */
  readonly failedAtMs: number;
  readonly attempts: number;
}
