import type { EntryGroup } from "./group_store.ts";

/** A group as it is read out of a journal. */
export interface ReadGroup extends EntryGroup {
  /**
   * It borders on damage, or names what is damaged. So its bounds may be others than those it was
   * sent with before, and a broker may have it whole.
   */
  readonly isDoubtful?: true;
}

/**
 * Gives what is durable in whole groups, in order, for as long as the store may not have them. It
 * only reads: what is settled is the business of {@link Source} (src/ports/source.ts).
 */
export interface GroupSource {
  /**
   * Returns the next group after the one that was returned last; undefined when there is none yet.
   * One without entries has numbers that never come.
   * @throws whatever the disk says; the next call tries the same again
   */
  take(): Promise<ReadGroup | undefined>;
  /**
   * Begins anew with the first group that the store may not have.
   * @param marks the store has each of these sources through there; what it has of others is taken
   *   to be what is settled
   */
  restart(marks: ReadonlyMap<string, number>): void;
}
