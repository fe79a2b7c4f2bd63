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

/** It tells some dead letters from the others; without any of these it means all of them. */
export interface LetterFilter {
  readonly userId?: string;
  readonly code?: string;
  /** They were refused first at this time or later, in Unix milliseconds … */
  readonly fromMs?: number;
  /** … and before this one. */
  readonly untilMs?: number;
}

/** It says how many dead letters a filter found, and why these were refused. */
export interface LetterSurvey {
  readonly count: number;
  /** The most frequent ones come first, and not all where there are very many. */
  readonly reasons: readonly { readonly code: string; readonly count: number }[];
  /** All that were counted were refused before this time of the store's clock. */
  readonly untilMs: number;
}

/**
 * Keeps the entries that the store refused, in that store, until a person decides. The errors are
 * those of {@link Store}.
 */
export interface DeadLetters {
  count(): Promise<number>;
  /** Counts those that the filter means. @param reasonsMax of the reasons so many at most */
  survey(filter: LetterFilter, reasonsMax: number): Promise<LetterSurvey>;
  /**
   * Returns how many there are by code, the most frequent ones first: at most
   * {@link REASONS_MAX} codes, of at most {@link REASON_LETTERS_MAX} dead letters.
   */
  reasons(): Promise<readonly Reason[]>;
  /**
   * Returns at most `limit` dead letters that come after `after`, by source and sequence number,
   * of those that the filter means.
   */
  list(
    limit: number,
    after?: Pick<DeadLetter, "source" | "seq">,
    filter?: LetterFilter,
  ): Promise<DeadLetter[]>;
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
