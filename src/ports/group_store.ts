import type { Entry } from "../domain.ts";
import type { RefusedEntry } from "./dead_letters.ts";

/**
 * What a source made durable between two boundaries of its journal. It goes everywhere as one, so
 * that whoever brings it, and how often, brings the same numbers.
 */
export interface EntryGroup {
  readonly source: string;
  /** It settles all numbers from here … */
  readonly first: number;
  /** … through here, those among them that never became durable. */
  readonly last: number;
  /** They ascend by `seq`, and their numbers are within the interval; there may be none. */
  readonly entries: readonly Entry[];
  /** It is meant for the store with this identity; undefined where its source did not know one. */
  readonly store?: string;
}

/**
 * Is the store for those who bring groups in any order, several times, or several at a time: it
 * knows the mark of a source, and beside it the intervals that were applied above the mark.
 */
export interface GroupStore {
  /**
   * Applies these groups in one transaction: their rows, their dead letters, and what says that
   * they are there. A group that is there already is left out, whoever brought it.
   * @throws GroupsOverlapError when the store has some of a group's numbers within other bounds;
   *   ForeignGroupError when one is meant for another store; StoreRefusesError when every row is refused alike. Nothing is written then
   */
  apply(groups: readonly EntryGroup[]): Promise<Applied>;
  /**
   * Moves the mark of a source over the intervals that follow it without a gap, which are forgotten
   * with that. Anybody may do so at any time.
   * @param never numbers that never come, as only the source itself knows: they are no gap. Where
   *   some came after all, what was applied counts
   * @throws GroupsOverlapError when groups overlap that were brought at the very same time
   */
  fold(source: string, never?: readonly Interval[]): Promise<Folded>;
  /** Returns which entries of a source, from one number through another, are dead letters. */
  dead(source: string, first: number, last: number): Promise<readonly RefusedEntry[]>;
}

/** Both ends belong to it. */
export interface Interval {
  readonly first: number;
  readonly last: number;
}

export interface Folded {
  /** The store has the source through this number. */
  readonly mark: number;
  /** It has something behind a gap, too: what is missing between was lost, or is on its way. */
  readonly ahead: boolean;
}

export interface Applied {
  /** This call inserted so many rows. */
  readonly rows: number;
  /** These of the entries are dead letters, by this call or by an earlier one. */
  readonly dead: readonly SourcedRefusal[];
}

export interface SourcedRefusal extends RefusedEntry {
  readonly source: string;
}
