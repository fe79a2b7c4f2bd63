import type { Term } from "../ports/terms.ts";

/** Is what one instance of all does for the others, while it leads. */
export interface Duty {
  /** It is named so in metrics and logs. */
  readonly name: string;
  /** A step is begun so long after the one before it ended. */
  readonly intervalMs: number;
  /**
   * Does one step, which is bounded. Whatever it changes in the store it changes within `term`.
   * @param signal is aborted when the lease is lost: nothing new is begun then
   * @throws TermOverError when another leads by now; anything else is a failure that is told and
   *   tried again
   */
  run(term: Term, signal: AbortSignal): Promise<void>;
}
