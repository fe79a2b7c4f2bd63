import assert from "node:assert/strict";
import { inTurn } from "../../bench/rounds.ts";
import { median, ratios, spread } from "../../bench/statistics.ts";

Deno.test("the median is the middle value, or the mean of the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

Deno.test("ratios are those of neighbouring rounds", () => {
  assert.deepEqual(ratios([10, 30], [20, 30]), [0.5, 1]);
  assert.throws(() => ratios([1], [1, 2]), /1 rounds with 2/);
});

Deno.test("a spread is median (least..most), as precise as a benchmark is", () => {
  assert.equal(spread([12345, 12000, 13000]), "12345 (12000..13000)");
  assert.equal(spread([0.456, 0.5, 0.4]), "0.46 (0.40..0.50)");
});

Deno.test("sides take turns, in the other order every other round, and the first does not count", async () => {
  const turns: string[] = [];
  const found = await inTurn(["a", "b"], 2, (side, round) => {
    turns.push(`${side}${round}`);
    return Promise.resolve(round);
  });
  assert.deepEqual(turns, ["a0", "b0", "b1", "a1", "a2", "b2"]);
  assert.deepEqual(found, new Map([["a", [1, 2]], ["b", [1, 2]]]));
});
