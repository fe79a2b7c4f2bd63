/**
 * Says who the store is, and which copies in caches that instances share are still to be believed.
 * The errors are those of {@link Store}.
 */
export interface StoreIdentity {
  identify(): Promise<Identity>;
  /**
   * Outdates all copies made so far, for everybody: one of them is too old, and nothing else can be
   * done about it.
   */
  outdateCopies(): Promise<Identity>;
}

export interface Identity {
  /** It stays the same for ever, wherever the database is moved to. */
  readonly id: string;
  /** Copies that were made under another generation are outdated. */
  readonly cacheGeneration: string;
}
