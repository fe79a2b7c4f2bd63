import assert from "node:assert/strict";
import { hitRatio, NOT_OBSERVED, percentiles, perSecond } from "../../src/dashboard/rates.ts";
import { reading } from "../support/readings.ts";

const BOUNDS = [0.001, 0.01, 0.1, Infinity];

Deno.test("a rate is what was counted over the time between, and never below zero", () => {
  const [before, after] = [reading(1_000, { writes: 10 }), reading(3_500, { writes: 60 })];
  assert.equal(perSecond(before, after, ({ writes }) => writes), 20);
  assert.equal(perSecond(after, before, ({ writes }) => writes), 0);
  assert.equal(perSecond(after, after, ({ writes }) => writes), 0);
});

Deno.test("percentiles lie within their bucket, by what was observed between alone", () => {
  const before = { bounds: BOUNDS, counts: [100, 100, 100, 100] };
  const after = { bounds: BOUNDS, counts: [100, 200, 200, 200] };
  assert.deepEqual(percentiles(before, after), { p50Ms: 5.5, p99Ms: 9.91 });
  assert.deepEqual(percentiles(undefined, before), { p50Ms: 0.5, p99Ms: 0.99 });
});

Deno.test("beyond the last bound a percentile is that bound", () => {
  const after = { bounds: BOUNDS, counts: [0, 0, 0, 5] };
  assert.deepEqual(percentiles(undefined, after), { p50Ms: 100, p99Ms: 100 });
});

Deno.test("where nothing was observed there is no percentile and no ratio", () => {
  const buckets = { bounds: BOUNDS, counts: [1, 2, 3, 4] };
  assert.deepEqual(percentiles(buckets, buckets), NOT_OBSERVED);
  assert.deepEqual(percentiles(undefined, { bounds: [], counts: [] }), NOT_OBSERVED);
  assert.equal(hitRatio(reading(0), reading(1_000)), null);
});

Deno.test("a hit is a read that no store was asked for", () => {
  const reads = { pending: 1, local: 2, redis: 3, store: 2, stale: 1, none: 1 };
  assert.equal(hitRatio(reading(0), reading(1_000, { reads })), 0.6);
});
