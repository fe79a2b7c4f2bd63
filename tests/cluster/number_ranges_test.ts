import assert from "node:assert/strict";
import { intersect, KnownNumbers } from "../../src/cluster/number_ranges.ts";
import { countNumbers } from "../../src/domain.ts";
import type { Interval } from "../../src/ports/group_store.ts";
import { Random } from "../support/random.ts";

const numbersOf = (intervals: readonly Interval[]) =>
  intervals.flatMap(({ first, last }) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i)
  );

function intervalsAmong(random: Random): Interval[] {
  const intervals: Interval[] = [];
  for (let next = 1 + random.below(5); next < 60; next += 1 + random.below(6)) {
    const last = next + random.below(5);
    intervals.push({ first: next, last });
    next = last + 1;
  }
  return intervals;
}

Deno.test("an intersection has the numbers that are in both", () => {
  const random = new Random(1);
  for (let i = 0; i < 500; i++) {
    const [a, b] = [intervalsAmong(random), intervalsAmong(random)];
    const inB = new Set(numbersOf(b));
    const expected = numbersOf(a).filter((seq) => inB.has(seq));
    assert.deepEqual(numbersOf(intersect(a, b)), expected);
    assert.equal(countNumbers(intersect(a, b)), expected.length);
  }
});

Deno.test("each number is new once, whatever intervals it comes in", () => {
  const random = new Random(2);
  for (let i = 0; i < 300; i++) {
    const known = new KnownNumbers(1_000);
    const seen = new Set<number>();
    for (let j = 0; j < 20; j++) {
      const first = 1 + random.below(50);
      const interval = { first, last: first + random.below(10) };
      const expected = numbersOf([interval]).filter((seq) => !seen.has(seq));
      assert.deepEqual(numbersOf(known.add("s", [interval])), expected);
      for (const seq of expected) seen.add(seq);
    }
  }
});

Deno.test("what is remembered is bounded, and nothing is new beyond it", () => {
  const known = new KnownNumbers(2);
  assert.equal(known.add("s", [{ first: 1, last: 2 }, { first: 5, last: 5 }]).length, 2);
  assert.deepEqual(known.add("s", [{ first: 9, last: 9 }]), []);
  assert.deepEqual(known.add("t", [{ first: 1, last: 1 }]), []);
});
