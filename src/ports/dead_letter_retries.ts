import type { Entry, Version } from "../domain.ts";
import type { DeadLetter } from "./dead_letters.ts";
import type { Term } from "./terms.ts";

/**
 * Tries dead letters again as they grow older, without a person. The errors are those of `Store`.
 */
export interface DeadLetterRetries {
  /**
   * Looks at a bounded number of dead letters that come after `from`, by source and number.
   * @param agesMs ascending: a dead letter is due when it is older than more of them than it was
   *   tried
   * @param limit at most so many are returned
   */
  due(agesMs: readonly number[], limit: number, from?: LetterPlace): Promise<DueLetters>;
  /**
   * Inserts the entry as it was accepted and removes the dead letter, in one transaction, as
   * `DeadLetters.replay` does.
   * @param term is compared where the store has terms
   * @returns the entry; undefined when there is no such dead letter any more
   * @throws RejectedRowError when it is refused again; it stays, and counts as tried for all ages
   *   that it has: what was missed while nobody could try is not made up for. TermOverError when
   *   another leads by now
   */
  retry(term: Term | undefined, letter: DueLetter): Promise<Entry | undefined>;
}

export type LetterPlace = Pick<DeadLetter, "source" | "seq">;

/** It is a dead letter without its value. */
export interface DueLetter extends Version {
  readonly userId: string;
  /** It is older than so many of the ages. */
  readonly passedAges: number;
}

export interface DueLetters {
  readonly letters: readonly DueLetter[];
  /** To go on from there; it is missing behind the last one. */
  readonly next?: LetterPlace;
}

/**
 * Returns what is due of the letters that were looked at, which are in order.
 * @param lookedAtMax where there are so many, more may come behind them
 */
export function dueAmong(
  lookedAt: readonly (DueLetter & Pick<DeadLetter, "source" | "attempts">)[],
  limit: number,
  lookedAtMax: number,
): DueLetters {
  const due = lookedAt.filter(({ attempts, passedAges }) => attempts <= passedAges).slice(0, limit);
  const last = due.length === limit
    ? due.at(-1)
    : lookedAt.length === lookedAtMax
    ? lookedAt.at(-1)
    : undefined;
  return {
    letters: due.map(({ source: _, attempts: __, ...letter }) => letter),
    ...(last !== undefined && { next: { source: last.source, seq: last.seq } }),
  };
}
