/**
 * At most one instance has a lease at a time, as far as clocks can tell. What must be true whatever
 * the clocks say is bound to a term of the store (terms.ts).
 */
export interface Lease {
  /**
   * Takes the lease where nobody has it, prolongs one that `holder` has, and leaves any other.
   * @param lifeMs it is the holder's for so long, counted by whoever keeps the lease. A caller
   *   counts from before it asked, so that its own idea of the end is the earlier one
   * @returns who has it now
   * @throws whatever kept it from being asked: it may have been taken all the same
   */
  hold(holder: string, lifeMs: number): Promise<LeaseHolder>;
  /** Gives back what `holder` has; does nothing where another has it, or nobody. */
  release(holder: string): Promise<void>;
  /** Gives back nothing: what is held ends by itself. */
  close(): Promise<void>;
}

export interface LeaseHolder {
  readonly holder: string;
  /** It took the lease then, in Unix milliseconds of whoever keeps the lease. */
  readonly sinceMs: number;
}
