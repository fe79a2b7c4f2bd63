/**
 * All instances in front of one store leave a note here of how they are, which ends by itself, and
 * see those of the others. Nothing depends on it but what people are shown. It rejects (never
 * hangs) on a fault: with a {@link BoardRefusesError}, or with anything else when it gives no answer.
 */
export interface InstanceBoard {
  /** Puts up the note in place of the one of the same name, for `lifeMs`. */
  post(name: string, note: string, lifeMs: number): Promise<void>;
  /** Returns the notes that have not ended, of all, at most {@link NOTES_MAX}, in no order. */
  notes(): Promise<readonly string[]>;
  /** Takes the note down, where it is there. */
  withdraw(name: string): Promise<void>;
  /** Takes nothing down: a note ends by itself. */
  close(): Promise<void>;
}

/** The board answers, and does not take what it is asked: it is full, or this is not allowed. */
export class BoardRefusesError extends Error {
  override readonly name = "BoardRefusesError";
}

/** More instances than this are not shown: those that come when it is full leave no note. */
export const NOTES_MAX = 200;
/** A longer note is refused. */
export const NOTE_LENGTH_MAX = 2_000;
