/**
 * Lets all answers of one turn of the event loop leave together. A client or a proxy that sleeps is
 * woken by the first one, and has the others when it looks; when each leaves alone, each wakes it
 * again, which costs more than the rest of a small answer.
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
