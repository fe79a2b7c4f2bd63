/**
 * Says when a turn of the event loop is over, for what is better done once for all that came in it:
 * answers leave together, so that a client that sleeps is woken once and not by each; writes share
 * a sync.
 */
import { setImmediate } from "node:timers";

let turn: Promise<void> | undefined;

/** Resolves when all requests that came in this turn of the event loop were looked at. */
export function endOfTurn(): Promise<void> {
  return turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined;
      resolve();
    });
  });
}
