/**
 * Reads what the metrics have counted, once a second. Each family is asked as the registry asks it
 * at a scrape, and only those that need nothing from outside: neither a store nor a disk is asked.
 */
import type { DurationSeries } from "../telemetry/families.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** It says how often each bucket was hit, whatever is in smaller ones included. */
export interface Buckets {
  /** They are the upper bounds in seconds, ascending; the last one is infinite. */
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

export interface RouteReading {
  readonly answered: number;
  /** Of these, with a status of 500 or more. */
  readonly failed: number;
  readonly durations: Buckets;
}

/** What was counted since the start, and how it stands at this moment. */
export interface Reading {
  /** By the clock that nobody sets. */
  readonly monotonicMs: number;
  readonly atMs: number;
  readonly routes: ReadonlyMap<string, RouteReading>;
  readonly writes: number;
  /** By the tier that answered. */
  readonly reads: Readonly<Record<string, number>>;
  readonly flushedRows: number;
  readonly failedRows: number;
  /** Those that went among the dead letters: they are dealt with, too. */
  readonly deadRows: number;
  readonly flushes: number;
  readonly batchedRows: number;
  readonly flushDurations: Buckets;
  readonly fsyncDurations: Buckets;
  readonly confirmedMessages: number;
  readonly failedMessages: number;
  readonly appliedMessages: number;
  readonly audited: { readonly checked: number; readonly lost: number; readonly doubled: number };
  readonly queue: QueueReading;
}

/** How the journal stands; a worker has none, and says what it has received and not stored yet. */
export interface QueueReading {
  readonly depth: number;
  readonly oldestAcceptedMs: number | undefined;
  readonly bytes: number;
  readonly retainedBytes: number;
}

export type ReadMetrics = Pick<
  Metrics,
  | "httpRequests"
  | "httpDuration"
  | "writes"
  | "reads"
  | "flushRows"
  | "batchRows"
  | "flushDuration"
  | "fsyncDuration"
  | "brokerMessages"
  | "receivedMessages"
  | "auditChecked"
  | "auditLost"
  | "auditDoubled"
>;

interface Value {
  readonly labels: Readonly<Partial<Record<string, string | number>>>;
  readonly value: number;
  readonly metricName?: string | undefined;
}

/** All that can be read of a metric, whichever package or file it is of. */
interface Readable {
  get(): Promise<{ readonly values: readonly Value[] }>;
}

const NO_BUCKETS: Buckets = { bounds: [], counts: [] };

/** Waits for nothing outside this process: the promises are those of memory that is read. */
export async function takeReading(
  metrics: ReadMetrics,
  queue: QueueReading,
  times: Pick<Reading, "atMs" | "monotonicMs">,
): Promise<Reading> {
  const [requests, durations, writes, reads, flushRows, batchRows] = await Promise.all([
    valuesOf(metrics.httpRequests),
    valuesOf(metrics.httpDuration),
    valuesOf(metrics.writes),
    valuesOf(metrics.reads),
    valuesOf(metrics.flushRows),
    valuesOf(metrics.batchRows),
  ]);
  const [sent, received, checked, lost, doubled] = await Promise.all([
    valuesOf(metrics.brokerMessages),
    valuesOf(metrics.receivedMessages),
    valuesOf(metrics.auditChecked),
    valuesOf(metrics.auditLost),
    valuesOf(metrics.auditDoubled),
  ]);
  const rows = byLabel(flushRows, "outcome");
  const messages = byLabel(sent, "outcome");
  return {
    ...times,
    routes: routesOf(requests, durations),
    writes: sum(writes),
    reads: byLabel(reads, "source"),
    flushedRows: rows.ok ?? 0,
    failedRows: rows.failed ?? 0,
    deadRows: rows.dead ?? 0,
    flushes: sum(batchRows.filter(isNamed("_count"))),
    batchedRows: sum(batchRows.filter(isNamed("_sum"))),
    flushDurations: bucketsOfSeries(metrics.flushDuration),
    fsyncDurations: bucketsOfSeries(metrics.fsyncDuration),
    confirmedMessages: messages.confirmed ?? 0,
    failedMessages: messages.failed ?? 0,
    appliedMessages: byLabel(received, "outcome").applied ?? 0,
    audited: { checked: sum(checked), lost: sum(lost), doubled: sum(doubled) },
    queue,
  };
}

async function valuesOf(metric: Readable): Promise<readonly Value[]> {
  return (await metric.get()).values;
}

function isNamed(ending: string): (value: Value) => boolean {
  return ({ metricName }) => metricName?.endsWith(ending) ?? false;
}

function sum(values: readonly Value[]): number {
  return values.reduce((total, { value }) => total + value, 0);
}

function byLabel(
  values: readonly Value[],
  label: string,
): Partial<Record<string, number>> & Record<string, number> {
  const found: Record<string, number> = {};
  for (const { labels, value } of values) {
    const name = String(labels[label]);
    found[name] = (found[name] ?? 0) + value;
  }
  return found;
}

function routesOf(
  requests: readonly Value[],
  durations: readonly Value[],
): ReadonlyMap<string, RouteReading> {
  const counts = new Map<string, { answered: number; failed: number }>();
  for (const { labels: { route, code }, value } of requests) {
    const name = String(route);
    const count = counts.get(name) ?? { answered: 0, failed: 0 };
    count.answered += value;
    if (Number(code) >= 500) count.failed += value;
    counts.set(name, count);
  }
  const buckets = Map.groupBy(durations, ({ labels }) => String(labels.route));
  return new Map(
    [...counts].map(([route, count]) => [
      route,
      { ...count, durations: bucketsOf(buckets.get(route) ?? []) },
    ]),
  );
}

function bucketsOf(values: readonly Value[]): Buckets {
  const buckets = values.filter(({ labels }) => labels.le !== undefined);
  if (buckets.length === 0) return NO_BUCKETS;
  return {
    bounds: buckets.map(({ labels: { le } }) => le === "+Inf" ? Infinity : Number(le)),
    counts: buckets.map(({ value }) => value),
  };
}

function bucketsOfSeries({ bounds, hits }: Pick<DurationSeries, "bounds" | "hits">): Buckets {
  let count = 0;
  return { bounds: [...bounds, Infinity], counts: hits.map((hits) => count += hits) };
}
