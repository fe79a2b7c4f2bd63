/** Readings of metrics in which a test names only what it is about. */
import type { QueueReading, Reading } from "../../src/dashboard/readings.ts";

const NO_BUCKETS = { bounds: [], counts: [] };

export function reading(
  monotonicMs: number,
  { queue, ...counts }: Partial<Omit<Reading, "queue">> & { queue?: Partial<QueueReading> } = {},
): Reading {
  return {
    monotonicMs,
    atMs: monotonicMs,
    routes: new Map(),
    writes: 0,
    reads: {},
    flushedRows: 0,
    failedRows: 0,
    deadRows: 0,
    flushes: 0,
    batchedRows: 0,
    flushDurations: NO_BUCKETS,
    fsyncDurations: NO_BUCKETS,
    confirmedMessages: 0,
    failedMessages: 0,
    appliedMessages: 0,
    audited: { checked: 0, lost: 0, doubled: 0 },
    queue: { depth: 0, oldestAcceptedMs: undefined, bytes: 0, retainedBytes: 0, ...queue },
    ...counts,
  };
}
