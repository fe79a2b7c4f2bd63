import type { Entry } from "../domain.ts";

/** It says why a store refused an entry. */
export interface Rejection {
  readonly code: string;
  readonly message: string;
}

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
