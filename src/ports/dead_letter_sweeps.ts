import type { ValuelessEntry } from "../domain.ts";
import type { LetterPlace } from "./dead_letter_retries.ts";
import type { LetterFilter } from "./dead_letters.ts";

/**
 * Goes through all dead letters that a filter means, by source and number, in bounded parts. The
 * errors are those of `Store`: what a call that failed has done is found done by the next one.
 */
export interface DeadLetterSweeps {
  /**
   * Inserts entries as they were accepted and removes their dead letters, as `DeadLetters.replay`
   * does with one. Those that are refused again stay, each with one attempt more.
   * @param limit at most so many; it may be fewer, or none, and yet not the last ones
   * @param from only those behind it
   */
  replaySome(filter: LetterFilter, limit: number, from?: LetterPlace): Promise<Swept>;
  /** Deletes dead letters for good. The parameters are those of {@link replaySome}. */
  discardSome(filter: LetterFilter, limit: number, from?: LetterPlace): Promise<Swept>;
}

export interface Swept {
  /** These were replayed or discarded. */
  readonly done: readonly ValuelessEntry[];
  /** So many were refused again. */
  readonly refused: number;
  /** To go on behind it; it is missing where there is nothing behind. */
  readonly next?: LetterPlace;
}
