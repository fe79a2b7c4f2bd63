import type { Entry } from "../domain.ts";

/** Why a store refused an entry. */
export interface Rejection {
  readonly code: string;
  readonly message: string;
}

/** One of the entries that were put, and why the store refused it. */
export interface RefusedEntry extends Rejection {
  readonly seq: number;
}

/**
 * The entries that the store refused, kept in it until a person decides. Errors as {@link Store}'s.
 */
export interface DeadLetters {
  count(): Promise<number>;
  /** At most `limit`, by source and sequence number, those after `after`. */
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
  /** False when there is no such dead letter. */
  discard(id: string): Promise<boolean>;
}

export interface DeadLetter extends Entry, Rejection {
  readonly source: string;
  /** Unix milliseconds of the first refusal. */
  readonly failedAtMs: number;
  readonly attempts: number;
}
