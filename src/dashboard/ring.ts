/**
 * Keeps the last hour: each second of the last five minutes, and before them ten seconds as one.
 * It never holds more than that, some 100 KiB.
 */
import { rounded } from "./rates.ts";
import type { History, Verdict } from "./snapshot.ts";

/** One moment of the history: a value of each column. */
export type Moment = { readonly [Column in keyof History]: History[Column][number] };

const FINE_MAX = 300;
const COARSE_MS = 10_000;
const COARSE_MAX = 330;

/** Of several seconds as one, rates are the mean and all else is the worst that was seen. */
const MEANS = ["writesPerSecond", "readsPerSecond", "flushRowsPerSecond", "hitRatio"] as const;
const WORST = [
  "writeP50Ms",
  "writeP99Ms",
  "readP50Ms",
  "readP99Ms",
  "queueDepth",
  "oldestAgeSeconds",
  "journalBytes",
  "fsyncP99Ms",
  "flushP99Ms",
] as const;
const COLUMNS = ["atMs", ...MEANS, ...WORST, "level"] as const;
const LEVELS: readonly Verdict["level"][] = ["well", "warning", "problem"];

export class Ring {
  readonly #fine: Moment[] = [];
  readonly #coarse: Moment[] = [];
  /** These are older than five minutes, and not ten seconds together yet. */
  #leaving: Moment[] = [];

  add(moment: Moment): void {
    this.#fine.push(moment);
    if (this.#fine.length > FINE_MAX) this.#leave(this.#fine.shift()!);
  }

  /** Returns the columns, the oldest moment first. */
  history(): History {
    const moments = [...this.#coarse, ...this.#merged(this.#leaving), ...this.#fine];
    return Object.fromEntries(
      COLUMNS.map((column) => [column, moments.map((moment) => moment[column])]),
    ) as unknown as History;
  }

  #leave(moment: Moment): void {
    const first = this.#leaving[0];
    if (first !== undefined && slotOf(first) !== slotOf(moment)) {
      this.#coarse.push(...this.#merged(this.#leaving));
      this.#leaving = [];
      if (this.#coarse.length > COARSE_MAX) this.#coarse.shift();
    }
    // A clock that is set back could keep them in one slot for longer.
    if (this.#leaving.length < COARSE_MS / 1000) this.#leaving.push(moment);
  }

  #merged(moments: readonly Moment[]): Moment[] {
    const last = moments.at(-1);
    if (last === undefined) return [];
    const merged: Record<string, number | string | null> = { ...last };
    for (const column of MEANS) merged[column] = mean(moments.map((moment) => moment[column]));
    for (const column of WORST) merged[column] = worst(moments.map((moment) => moment[column]));
    merged.level = LEVELS[Math.max(...moments.map(({ level }) => LEVELS.indexOf(level)))]!;
    return [merged as unknown as Moment];
  }
}

function slotOf({ atMs }: Moment): number {
  return Math.floor(atMs / COARSE_MS);
}

function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return rounded(known.reduce((total, value) => total + value, 0) / known.length);
}

function worst(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}
