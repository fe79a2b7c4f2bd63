import assert from "node:assert/strict";
import { type Moment, Ring } from "../../src/dashboard/ring.ts";

function moment(second: number, changes: Partial<Moment> = {}): Moment {
  return {
    atMs: second * 1_000,
    writesPerSecond: 10,
    readsPerSecond: 0,
    writeP50Ms: null,
    writeP99Ms: null,
    readP50Ms: null,
    readP99Ms: null,
    queueDepth: 0,
    oldestAgeSeconds: 0,
    journalBytes: 0,
    fsyncP99Ms: null,
    flushRowsPerSecond: 0,
    flushP99Ms: null,
    hitRatio: null,
    level: "well",
    ...changes,
  };
}

Deno.test("the last five minutes are kept by the second, the hour before by ten of them", () => {
  const ring = new Ring();
  for (let second = 0; second < 2 * 3_600; second++) ring.add(moment(second));
  const { atMs, ...columns } = ring.history();
  const ages = atMs.map((ms) => 2 * 3_600 - 1 - ms / 1_000);
  assert.deepEqual(ages.slice(-300), Array.from({ length: 300 }, (_, i) => 299 - i));
  assert.ok(ages[0]! >= 3_590 && ages[0]! <= 3_620, `the oldest is ${ages[0]} s old`);
  assert.ok(atMs.length <= 640, `${atMs.length} moments`);
  assert.deepEqual(atMs, atMs.toSorted((a, b) => a - b));
  for (const [name, column] of Object.entries(columns)) {
    assert.equal(column.length, atMs.length, name);
  }
});

Deno.test("of ten seconds as one rates are the mean, and all else is the worst of them", () => {
  const ring = new Ring();
  ring.add(moment(0, { writesPerSecond: 30, queueDepth: 7, level: "problem", writeP99Ms: 9 }));
  ring.add(moment(1, { writesPerSecond: 10, queueDepth: 3, writeP99Ms: null }));
  for (let second = 10; second < 311; second++) ring.add(moment(second));
  const history = ring.history();
  assert.deepEqual(
    [
      history.writesPerSecond[0],
      history.queueDepth[0],
      history.level[0],
      history.writeP99Ms[0],
      history.hitRatio[0],
    ],
    [20, 7, "problem", 9, null],
  );
});

Deno.test("a clock that stands still or is set back makes the ring no larger", () => {
  const ring = new Ring();
  for (let i = 0; i < 2_000; i++) ring.add(moment(100 - (i % 7)));
  assert.ok(ring.history().atMs.length <= 640);
});
