import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { endOfTurn } from "../../src/http/turn.ts";

Deno.test("all that ask in one turn go on together, before whoever asks in a later one", async () => {
  const order: string[] = [];
  const first = endOfTurn().then(() => order.push("first"));
  await Promise.resolve();
  const second = endOfTurn().then(() => order.push("second"));
  assert.equal(order.length, 0);
  const later = Promise.withResolvers<number>();
  // It is queued behind the end of this turn.
  setImmediate(() => later.resolve(order.push("later")));
  await Promise.all([first, second, later.promise]);
  assert.deepEqual(order, ["first", "second", "later"]);
});
