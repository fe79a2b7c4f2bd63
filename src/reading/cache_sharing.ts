/** Says what a cache client has to know of others who have the same cache, and to tell them. */

/** Those who share a cache tell one another by the store, through this. */
export interface CacheSharing {
  /** Copies are made of this generation now. */
  readonly text: string | undefined;
  /**
   * It is true while the store has just told so: nobody can have begun another one without our
   * knowing.
   */
  readonly isSure: boolean;
  /** Asks the store of which generation copies are to be made now; rejects when it does not tell. */
  refresh(): Promise<void>;
  /** Outdates all copies made so far; rejects when the others cannot be told. */
  outdate(): Promise<void>;
}

/** A cache that nobody else has needs no word to anybody. */
export const UNSHARED: CacheSharing = {
  text: "",
  isSure: true,
  refresh: () => Promise.resolve(),
  outdate: () => Promise.resolve(),
};
