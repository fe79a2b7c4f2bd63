/**
 * Who the store is, and which copies in caches that instances share are still to be believed.
 * Errors as {@link Store}'s.
 */
export interface StoreIdentity {
  identify(): Promise<Identity>;
  /**
   * No copy made so far is to be believed by anybody: one is outdated, and nothing else can be done
   * about it.
   */
  outdateCopies(): Promise<Identity>;
}

export interface Identity {
  /** The same for ever, wherever the database is moved to. */
  readonly id: string;
  /** Copies made under another one are outdated. */
  readonly cacheGeneration: string;
}
