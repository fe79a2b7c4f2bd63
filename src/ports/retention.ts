import type { Term } from "./terms.ts";

/**
 * Deletes what is old, of a store whose rows are more than a user's newest. What counts as the
 * newest is what a read of the store finds; it stays however old it is. The errors are those of
 * `Store`.
 */
export interface Retention {
  /**
   * Walks over the users, and deletes rows with a `ts` below `olderThanTs` that a newer row of the
   * same user hides from every read. It looks at a bounded number of rows, in one transaction that
   * holds up no `put`. A row that is locked by somebody else may be left for the next pass.
   * @param term is compared where the store has terms
   * @param limit at most so many rows are deleted
   * @param from is where the last call ended; a pass begins without it
   * @throws TermOverError when another leads by now
   */
  retire(
    term: Term | undefined,
    olderThanTs: number,
    limit: number,
    from?: string,
  ): Promise<Retired>;
}

export interface Retired {
  /** So many rows were deleted. */
  readonly rows: number;
  /** So many rows were not, as the database refuses to delete them. */
  readonly refused: number;
  /** To go on from there; it is missing at the end of the pass. */
  readonly next?: string;
}
