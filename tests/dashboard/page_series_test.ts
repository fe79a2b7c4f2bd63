/** What the page remembers of the last hour. */
import assert from "node:assert/strict";
import { HOUR_MS, Series } from "../../src/dashboard/page/series.ts";
import type { History, Snapshot } from "../../src/dashboard/snapshot.ts";

function snapshot(atMs: number, writesPerSecond: number): Snapshot {
  return {
    atMs,
    writesPerSecond,
    readsPerSecond: 0,
    readsBySource: { pending: 1, local: 2, redis: 0, store: 1, none: 4 },
    verdict: { level: "well", code: "well", text: "All is well.", sinceMs: null, advice: null },
    requests: [{ route: "/write", perSecond: 1, failedPerSecond: 0, p50Ms: 2, p99Ms: 3 }],
    queue: { depth: 0, oldestAgeSeconds: 0, secondsUntilFull: null },
    journal: { bytes: 0, maxBytes: 1, retainedBytes: 0, fsync: { p50Ms: null, p99Ms: null } },
    flush: {
      rowsPerSecond: 0,
      failedRowsPerSecond: 0,
      duration: { p50Ms: null, p99Ms: null },
      meanRows: null,
    },
  } as unknown as Snapshot;
}

function history(atMs: readonly number[]): History {
  return {
    atMs,
    level: atMs.map(() => "problem"),
    writesPerSecond: atMs.map(() => 5),
  } as unknown as History;
}

function seriesOf(...steps: ((series: Series) => void)[]): Series {
  const series = new Series();
  steps.forEach((step) => step(series));
  return series;
}

const times = (series: Series) => series.moments.map(({ atMs }) => atMs);

Deno.test("what a restarted server does not remember stays, and what it remembers comes after it", () => {
  const series = seriesOf(
    (it) => it.add(snapshot(1_000, 1)),
    (it) => it.add(snapshot(2_000, 2)),
    (it) => it.load(history([2_000, 3_000])),
    (it) => it.add(snapshot(4_000, 4)),
  );
  assert.deepEqual(times(series), [1_000, 2_000, 3_000, 4_000]);
  assert.deepEqual(series.columns(["writesPerSecond"]), [[1, 5, 5, 4]]);
});

Deno.test("a time in which nothing was heard is a gap, and not a line", () => {
  const series = seriesOf(
    (it) => it.add(snapshot(1_000, 1)),
    (it) => it.add(snapshot(61_000, 2)),
  );
  assert.deepEqual(series.columns(["writesPerSecond"]), [[1, null, 2]]);
  assert.equal(series.at(30_000)?.atMs, 1_000);
});

Deno.test("it holds an hour and no more, also when the server's clock was set back", () => {
  const series = seriesOf(
    (it) => it.add(snapshot(1_000, 1)),
    (it) => it.add(snapshot(2_000, 2)),
    (it) => it.add(snapshot(1_500, 3)),
  );
  assert.deepEqual(times(series), [1_000, 1_500]);
  series.add(snapshot(1_600 + HOUR_MS, 4));
  assert.deepEqual(times(series).at(-1), 1_600 + HOUR_MS);
  assert.ok(times(series)[0]! >= 1_500);
});

Deno.test("of reads it is told which part needed no store, and of a moment what was heard then", () => {
  const series = seriesOf((it) => it.add(snapshot(1_000, 1)));
  assert.deepEqual(series.columns(["hitRatio", "writeP99Ms", "readP50Ms"]), [[3 / 8], [3], [null]]);
  assert.equal(series.at(1_000)?.text, "All is well.");
});
