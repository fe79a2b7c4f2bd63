import type { RefusedEntry } from "./dead_letters.ts";
import type { Entry } from "../domain.ts";
import type { Batch } from "./source.ts";

/** Where delivery brings what it took: the store, later also a broker. */
export interface Sink {
  /** Why nothing is taken at all, though the other side answers; undefined while it is. */
  readonly refusal: string | undefined;
  /**
   * How far the other side has each of these sources; a source that it does not know is left out.
   * To be asked before the first {@link deliver}, and again after each failure.
   */
  marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>>;
  /**
   * Resolves once the other side has all of it for good. May be repeated after a failure, with the
   * same batch or one that was grown at its end: nothing is there twice.
   */
  deliver(batch: Batch): Promise<Delivered>;
}

export interface Delivered {
  /** The entries that this call, or the tries before it, brought there as rows. */
  readonly stored: readonly Entry[];
  /** Those that were refused, and are kept as dead letters. */
  readonly dead: readonly RefusedEntry[];
}
