import assert from "node:assert/strict";
import fc from "fast-check";
import { type Given, Progress } from "../../../src/adapters/kafka/progress.ts";

Deno.test("kafka: a partition is done as far as nothing before is open, in whatever order", () => {
  const order = fc.integer({ min: 1, max: 20 }).chain((count) =>
    fc.shuffledSubarray(Array.from({ length: count }, (_, index) => index), {
      minLength: count,
      maxLength: count,
    })
  );
  fc.assert(fc.property(order, (finishes) => {
    const progress = new Progress(0, 100n);
    const given: Given[] = finishes.map((_, index) => progress.give(100n + BigInt(index)));
    const open = new Set(finishes);
    for (const index of finishes) {
      progress.finish(given[index]!);
      open.delete(index);
      const expected = 100 + Math.min(finishes.length, ...open);
      assert.equal(progress.done, BigInt(expected));
    }
  }));
});

Deno.test("kafka: what is skipped is done when all before it is", () => {
  const progress = new Progress(0, 5n);
  const first = progress.give(5n);
  progress.skipTo(9n);
  assert.equal(progress.done, 5n);
  const second = progress.give(9n);
  progress.finish(first);
  assert.equal(progress.done, 6n);
  progress.finish(second);
  assert.equal(progress.done, 10n);
  progress.skipTo(20n);
  assert.equal(progress.done, 20n);
});
