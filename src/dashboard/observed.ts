/**
 * Keeps the readings of the last seconds, and says what follows from them: rates, percentiles, and
 * whether writes get on.
 */
import { allReads, hitRatio, percentiles, perSecond, rounded } from "./rates.ts";
import type { Buckets, Reading } from "./readings.ts";
import type { Moment } from "./ring.ts";
import type { Percentiles, RouteRates, Snapshot, Verdict } from "./snapshot.ts";

/** Percentiles are of so many seconds: fewer have too few observations to speak of a p99 … */
const PERCENTILE_SECONDS = 10;
/** … and rates of so many, so that a change is seen at once. */
const RATE_SECONDS = 3;
const TREND_SECONDS = 60;
const GROWING_SECONDS = 15;
/** Beyond this nobody can tell from a minute. */
const LONGEST_FORECAST_SECONDS = 7 * 86_400;

interface QueueMoment {
  readonly monotonicMs: number;
  readonly usedBytes: number;
  readonly oldestAgeMs: number;
}

type Rates = Pick<
  Snapshot,
  "requests" | "writesPerSecond" | "readsPerSecond" | "readsBySource" | "flush"
>;

export class Observed {
  readonly #readings: Reading[] = [];
  readonly #queue: QueueMoment[] = [];
  /** All times are of the monotonic clock. */
  #progressMs: number | undefined;
  #failingSinceMs: number | undefined;
  #failedMs = -Infinity;
  #storedMs = -Infinity;
  #auditedAtMs: number | null = null;

  add(reading: Reading): void {
    const before = this.#readings.at(-1);
    this.#readings.push(reading);
    if (this.#readings.length > PERCENTILE_SECONDS + 1) this.#readings.shift();
    const { bytes, retainedBytes } = reading.queue;
    this.#queue.push({
      monotonicMs: reading.monotonicMs,
      usedBytes: bytes - retainedBytes,
      oldestAgeMs: oldestAgeMs(reading),
    });
    if (this.#queue.length > TREND_SECONDS + 1) this.#queue.shift();
    this.#follow(before ?? reading, reading);
  }

  get last(): Reading {
    return this.#readings.at(-1)!;
  }

  get isEmpty(): boolean {
    return this.#readings.length === 0;
  }

  /** The numbers that were audited last, Unix milliseconds; null where none was. */
  get auditedAtMs(): number | null {
    return this.#auditedAtMs;
  }

  /** The oldest entry has been the same one for so long; 0 where none waits. */
  get stalledMs(): number {
    const { monotonicMs, queue: { depth } } = this.last;
    return depth === 0 ? 0 : monotonicMs - (this.#progressMs ?? monotonicMs);
  }

  /** Flushes have failed, and nothing has got on for a second or more: one failure is no outage. */
  get flushesFail(): boolean {
    const { monotonicMs, queue: { depth } } = this.last;
    return depth > 0 && monotonicMs > (this.#failingSinceMs ?? monotonicMs);
  }

  /** A flush failed last at this moment of the monotonic clock. */
  get failedMs(): number {
    return this.#failedMs;
  }

  /** Milliseconds since something was stored last; infinite where nothing was. */
  get sinceStoredMs(): number {
    return this.last.monotonicMs - this.#storedMs;
  }

  /** The oldest entry waits longer than a little while ago. */
  get isGrowing(): boolean {
    const before = this.#queue.at(-1 - GROWING_SECONDS) ?? this.#queue[0]!;
    return oldestAgeMs(this.last) > before.oldestAgeMs + GROWING_SECONDS * 1000 / 4;
  }

  /**
   * @param patienceMs the journal of who is not behind by more than this has ups and downs that
   *   tell nothing
   */
  secondsUntilFull(maxBytes: number, patienceMs: number): number | null {
    const [first, last] = [this.#queue[0]!, this.#queue.at(-1)!];
    const seconds = (last.monotonicMs - first.monotonicMs) / 1000;
    const grown = last.usedBytes - first.usedBytes;
    if (last.oldestAgeMs <= patienceMs || seconds < 1 || grown <= 0) return null;
    const left = Math.max(0, maxBytes - last.usedBytes) / (grown / seconds);
    return left > LONGEST_FORECAST_SECONDS ? null : Math.round(left);
  }

  get rates(): Rates {
    const { reads } = this.last;
    return {
      requests: this.#requests(),
      writesPerSecond: this.perSecond(({ writes }) => writes),
      readsPerSecond: this.perSecond(allReads),
      readsBySource: Object.fromEntries(
        Object.keys(reads).map((source) => [
          source,
          this.perSecond(({ reads }) => reads[source] ?? 0),
        ]),
      ),
      flush: this.#flush(),
    };
  }

  perSecond(count: (reading: Reading) => number): number {
    return perSecond(this.#secondsAgo(RATE_SECONDS), this.last, count);
  }

  percentiles(buckets: (reading: Reading) => Buckets | undefined): Percentiles {
    const now = buckets(this.last) ?? { bounds: [], counts: [] };
    return percentiles(buckets(this.#readings[0]!), now);
  }

  /** What the history has of this moment: rates are those of the last second. */
  moment(level: Verdict["level"]): Moment {
    const before = this.#secondsAgo(1);
    const { last } = this;
    const rate = (count: (reading: Reading) => number) => perSecond(before, last, count);
    const [write, read] = ["/write", "/read"].map((route) =>
      this.percentiles(({ routes }) => routes.get(route)?.durations)
    );
    return {
      atMs: Math.round(last.atMs),
      writesPerSecond: rate(({ writes }) => writes),
      readsPerSecond: rate(allReads),
      writeP50Ms: write!.p50Ms,
      writeP99Ms: write!.p99Ms,
      readP50Ms: read!.p50Ms,
      readP99Ms: read!.p99Ms,
      queueDepth: last.queue.depth,
      oldestAgeSeconds: rounded(oldestAgeMs(last) / 1000),
      journalBytes: last.queue.bytes,
      fsyncP99Ms: this.percentiles(({ fsyncDurations }) => fsyncDurations).p99Ms,
      flushRowsPerSecond: rate(({ flushedRows }) => flushedRows),
      flushP99Ms: this.percentiles(({ flushDurations }) => flushDurations).p99Ms,
      hitRatio: hitRatio(before, last),
      level,
    };
  }

  #follow(before: Reading, now: Reading): void {
    const { monotonicMs } = now;
    const isOther = now.queue.oldestAcceptedMs !== before.queue.oldestAcceptedMs;
    // A batch that the store had already, of an answer that was lost, counts no rows.
    const isStored = isOther && before.queue.oldestAcceptedMs !== undefined ||
      now.flushedRows + now.deadRows > before.flushedRows + before.deadRows;
    if (isStored) {
      this.#storedMs = monotonicMs;
      this.#failingSinceMs = undefined;
    } else if (now.failedRows > before.failedRows) {
      this.#failingSinceMs ??= monotonicMs;
      this.#failedMs = monotonicMs;
    }
    if (isOther || this.#progressMs === undefined) this.#progressMs = monotonicMs;
    if (now.audited.checked > before.audited.checked) this.#auditedAtMs = now.atMs;
  }

  #secondsAgo(seconds: number): Reading {
    return this.#readings.at(-1 - seconds) ?? this.#readings[0]!;
  }

  #requests(): RouteRates[] {
    return [...this.last.routes.keys()].sort().map((route) => ({
      route,
      perSecond: this.perSecond(({ routes }) => routes.get(route)?.answered ?? 0),
      failedPerSecond: this.perSecond(({ routes }) => routes.get(route)?.failed ?? 0),
      ...this.percentiles(({ routes }) => routes.get(route)?.durations),
    }));
  }

  #flush(): Rates["flush"] {
    const first = this.#readings[0]!;
    const flushes = this.last.flushes - first.flushes;
    return {
      rowsPerSecond: this.perSecond(({ flushedRows }) => flushedRows),
      failedRowsPerSecond: this.perSecond(({ failedRows }) => failedRows),
      duration: this.percentiles(({ flushDurations }) => flushDurations),
      meanRows: flushes <= 0
        ? null
        : rounded((this.last.batchedRows - first.batchedRows) / flushes),
    };
  }
}

export function oldestAgeMs({ atMs, queue: { oldestAcceptedMs } }: Reading): number {
  return oldestAcceptedMs === undefined ? 0 : Math.max(0, atMs - oldestAcceptedMs);
}
