import assert from "node:assert/strict";
import { Observed } from "../../src/dashboard/observed.ts";
import type { Reading } from "../../src/dashboard/readings.ts";
import { reading } from "../support/readings.ts";

function observe(seconds: number, at: (second: number) => Reading): Observed {
  const observed = new Observed();
  for (let second = 0; second <= seconds; second++) observed.add(at(second));
  return observed;
}

Deno.test("one failed flush is no outage, one that nothing follows is, until something does", () => {
  const waiting = { depth: 5, oldestAcceptedMs: 0 };
  const failing = (second: number) =>
    reading(second * 1_000, { failedRows: second >= 1 ? 5 : 0, queue: waiting });
  const observed = observe(1, failing);
  assert.equal(observed.flushesFail, false);
  observed.add(failing(2));
  assert.equal(observed.flushesFail, true);
  observed.add(reading(3_000, { failedRows: 5, flushedRows: 5, queue: waiting }));
  assert.equal(observed.flushesFail, false);
  assert.equal(observed.sinceStoredMs, 0);
});

Deno.test("a batch that the store had already ends an outage, though no row was counted", () => {
  const observed = observe(2, (second) =>
    reading(second * 1_000, {
      failedRows: second >= 1 ? 5 : 0,
      queue: { depth: 5, oldestAcceptedMs: 0 },
    }));
  assert.equal(observed.flushesFail, true);
  const queue = { depth: 1, oldestAcceptedMs: 2_500 };
  observed.add(reading(3_000, { failedRows: 5, queue }));
  assert.equal(observed.flushesFail, false);
});

Deno.test("the oldest entry says for how long nothing has got on", () => {
  const stuck = observe(20, (second) =>
    reading(second * 1_000, {
      flushedRows: second, // Counted, and yet the oldest one stays.
      queue: { depth: 5, oldestAcceptedMs: second < 4 ? second * 1_000 : 4_000 },
    }));
  assert.equal(stuck.stalledMs, 16_000);
  assert.equal(stuck.isGrowing, true);
  const moving = observe(
    20,
    (second) =>
      reading(second * 1_000, { queue: { depth: 5, oldestAcceptedMs: second * 1_000 - 500 } }),
  );
  assert.equal(moving.stalledMs, 0);
  assert.equal(moving.isGrowing, false);
});

Deno.test("the journal's end is foretold where it fills, and not where nothing is behind", () => {
  const growing = (oldestAcceptedMs: (second: number) => number) =>
    observe(90, (second) =>
      reading(second * 1_000, {
        queue: {
          depth: 1,
          oldestAcceptedMs: oldestAcceptedMs(second),
          bytes: 500 + second * 10,
          retainedBytes: 500,
        },
      }));
  assert.equal(growing(() => 0).secondsUntilFull(1_900, 12_000), 100);
  assert.equal(growing((second) => second * 1_000).secondsUntilFull(1_900, 12_000), null);
  const still = observe(
    90,
    (second) => reading(second * 1_000, { queue: { depth: 1, oldestAcceptedMs: 0, bytes: 500 } }),
  );
  assert.equal(still.secondsUntilFull(1_900, 12_000), null);
});
