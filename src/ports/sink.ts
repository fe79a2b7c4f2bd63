import type { RefusedEntry } from "./dead_letters.ts";
import type { Entry } from "../domain.ts";
import type { Batch } from "./source.ts";

/** Delivery brings what it took to a sink: the store, later also a broker. */
export interface Sink {
  /**
   * It says why nothing is taken at all, though the other side answers; it is undefined while
   * something is.
   */
  readonly refusal: string | undefined;
  /**
   * Returns how far the other side has each of these sources; a source that it does not know is
   * left out. It has to be asked before the first {@link deliver}, and again after each failure.
   */
  marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>>;
  /**
   * Resolves once the other side has all of it for good. The call may be repeated after a failure,
   * with the same batch or one that was grown at its end: nothing is there twice.
   * @param onSent is called when the other side has something to work on, where its answer takes
   *   long
   */
  deliver(batch: Batch, onSent?: () => void): Promise<Delivered>;
}

export interface Delivered {
  /** This call, or the tries before it, brought these entries there as rows. */
  readonly stored: readonly Entry[];
  /** These were refused, and are kept as dead letters. */
  readonly dead: readonly RefusedEntry[];
}
