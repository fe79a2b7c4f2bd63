/**
 * Is the last hour as columns, for the charts and for looking back: first what the server
 * remembers, then what comes each second. Where nothing was heard for a while there is a gap.
 */
import type { History, Snapshot, Verdict } from "../snapshot.ts";

export const HOUR_MS = 3_600_000;
/** Columns of the server's memory are at most ten seconds apart. */
const GAP_MS = 15_000;

const COLUMNS = [
  "writesPerSecond",
  "readsPerSecond",
  "writeP50Ms",
  "writeP99Ms",
  "readP50Ms",
  "readP99Ms",
  "queueDepth",
  "oldestAgeSeconds",
  "journalBytes",
  "fsyncP99Ms",
  "flushRowsPerSecond",
  "flushP99Ms",
  "hitRatio",
] as const satisfies readonly (keyof History)[];

export type Column = typeof COLUMNS[number];
export type Values = Readonly<Record<Column, number | null>>;
type Level = Verdict["level"];

export interface Moment {
  readonly atMs: number;
  /** It is null in a gap. */
  readonly level: Level | null;
  /** The verdict, where this page heard it itself. */
  readonly text: string | null;
  readonly values: Values;
}

const NOTHING = Object.fromEntries(COLUMNS.map((column) => [column, null])) as unknown as Values;

export class Series {
  #moments: Moment[] = [];

  /** The oldest one first. */
  get moments(): readonly Moment[] {
    return this.#moments;
  }

  /** Takes the hour as another one of these has it. */
  take(moments: readonly Moment[]): void {
    this.#moments = [...moments];
  }

  /** Takes what a server remembers. What is older than that stays: it may have been restarted. */
  load(history: History): void {
    const first = history.atMs[0] ?? Infinity;
    this.#moments = this.#moments.filter(({ atMs }) => atMs < first);
    history.atMs.forEach((atMs, at) => {
      // Behind a load balancer the page may be of a newer version than who answers, and know more.
      const values = Object.fromEntries(
        COLUMNS.map((column) => [column, history[column]?.[at] ?? null]),
      ) as unknown as Values;
      this.#push({ atMs, level: history.level[at] ?? null, text: null, values });
    });
  }

  add(snapshot: Snapshot): void {
    const { atMs, verdict: { level, text } } = snapshot;
    this.#push({ atMs, level, text, values: valuesOf(snapshot) });
  }

  /** The columns for a chart, in its order. */
  columns(names: readonly Column[]): (number | null)[][] {
    return names.map((name) => this.#moments.map(({ values }) => values[name]));
  }

  /** The last moment that is not later. */
  at(atMs: number): Moment | undefined {
    return this.#moments.findLast((moment) => moment.atMs <= atMs && moment.level !== null) ??
      this.#moments[0];
  }

  #push(moment: Moment): void {
    const last = this.#moments.at(-1);
    // A clock that was set back would have charts run backwards.
    if (last !== undefined && moment.atMs <= last.atMs) {
      this.#moments = this.#moments.filter(({ atMs }) => atMs < moment.atMs);
    } else if (last !== undefined && moment.atMs - last.atMs > GAP_MS) {
      this.#moments.push({ atMs: last.atMs + 1, level: null, text: null, values: NOTHING });
    }
    this.#moments.push(moment);
    const oldest = this.#moments.findIndex(({ atMs }) => atMs >= moment.atMs - HOUR_MS);
    if (oldest > 0) this.#moments.splice(0, oldest);
  }
}

function valuesOf(snapshot: Snapshot): Values {
  const { requests, queue, journal, flush } = snapshot;
  const write = requests.find(({ route }) => route === "/write");
  const read = requests.find(({ route }) => route === "/read");
  return {
    writesPerSecond: snapshot.writesPerSecond,
    readsPerSecond: snapshot.readsPerSecond,
    writeP50Ms: write?.p50Ms ?? null,
    writeP99Ms: write?.p99Ms ?? null,
    readP50Ms: read?.p50Ms ?? null,
    readP99Ms: read?.p99Ms ?? null,
    queueDepth: queue.depth,
    oldestAgeSeconds: queue.oldestAgeSeconds,
    journalBytes: journal.bytes,
    fsyncP99Ms: journal.fsync.p99Ms,
    flushRowsPerSecond: flush.rowsPerSecond,
    flushP99Ms: flush.duration.p99Ms,
    hitRatio: hitRatio(snapshot.readsBySource),
  };
}

/** Of all reads, the part that needed no look into the store. */
export function hitRatio(readsBySource: Snapshot["readsBySource"]): number | null {
  const { pending = 0, local = 0, redis = 0 } = readsBySource;
  const all = Object.values(readsBySource).reduce((total, rate) => total + rate, 0);
  return all === 0 ? null : (pending + local + redis) / all;
}
