/** Makes rates and percentiles of two readings: what was counted between them, over their time. */
import type { Buckets, Reading } from "./readings.ts";
import type { Percentiles } from "./snapshot.ts";

export const NOT_OBSERVED: Percentiles = { p50Ms: null, p99Ms: null };

/** Returns what was counted a second; 0 where no time has passed. */
export function perSecond(
  before: Reading,
  after: Reading,
  count: (reading: Reading) => number,
): number {
  const seconds = (after.monotonicMs - before.monotonicMs) / 1000;
  if (seconds <= 0) return 0;
  return rounded(Math.max(0, count(after) - count(before)) / seconds);
}

/** @param before undefined where nothing had been observed yet */
export function percentiles(before: Buckets | undefined, after: Buckets): Percentiles {
  const counts = after.counts.map((count, i) => count - (before?.counts[i] ?? 0));
  const total = counts.at(-1) ?? 0;
  if (total <= 0) return NOT_OBSERVED;
  return {
    p50Ms: quantileMs(0.5, after.bounds, counts, total),
    p99Ms: quantileMs(0.99, after.bounds, counts, total),
  };
}

/**
 * As PromQL's histogram_quantile has it: evenly spread within a bucket, and in the one without an
 * end its beginning is all that can be said.
 */
function quantileMs(
  quantile: number,
  bounds: readonly number[],
  counts: readonly number[],
  total: number,
): number {
  const rank = quantile * total;
  const bucket = counts.findIndex((count) => count >= rank);
  const lower = bucket > 0 ? bounds[bucket - 1]! : 0;
  const upper = bounds[bucket]!;
  if (!Number.isFinite(upper)) return rounded(lower * 1000);
  const below = bucket > 0 ? counts[bucket - 1]! : 0;
  const share = (rank - below) / (counts[bucket]! - below);
  return rounded((lower + (upper - lower) * share) * 1000);
}

/** Of reads, the share that no store was asked for; null where none was answered. */
export function hitRatio(before: Reading, after: Reading): number | null {
  const { hits, all } = readsBetween(before, after);
  return all === 0 ? null : rounded(hits / all);
}

const HITS = new Set(["pending", "local", "redis"]);

function readsBetween(before: Reading, after: Reading): { hits: number; all: number } {
  let [hits, all] = [0, 0];
  for (const [source, count] of Object.entries(after.reads)) {
    const reads = count - (before.reads[source] ?? 0);
    all += reads;
    if (HITS.has(source)) hits += reads;
  }
  return { hits, all };
}

export function allReads({ reads }: Reading): number {
  return Object.values(reads).reduce((total, count) => total + count, 0);
}

/** Three digits after the point are more than a person reads, and short to send. */
export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
