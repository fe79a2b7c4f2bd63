/** Numbers of sources, as intervals that ascend and do not touch one another. */
import type { Interval } from "../ports/group_store.ts";

/** Returns what is in both; each of the two ascends, without overlaps. */
export function intersect(some: readonly Interval[], others: readonly Interval[]): Interval[] {
  const both: Interval[] = [];
  for (let i = 0, j = 0; i < some.length && j < others.length;) {
    const [a, b] = [some[i]!, others[j]!];
    const [first, last] = [Math.max(a.first, b.first), Math.min(a.last, b.last)];
    if (first <= last) both.push({ first, last });
    if (a.last < b.last) i++;
    else j++;
  }
  return both;
}

/** Remembers numbers, as many intervals as it is allowed: what comes then is never new. */
export class KnownNumbers {
  readonly #bySource = new Map<string, Interval[]>();
  #size = 0;

  constructor(private readonly maxIntervals: number) {}

  /** Returns those that were not known, which are known from now on. */
  add(source: string, intervals: readonly Interval[]): Interval[] {
    return intervals.flatMap((interval) => this.#addOne(source, interval));
  }

  #addOne(source: string, { first, last }: Interval): Interval[] {
    if (this.#size >= this.maxIntervals) return [];
    const known = this.#bySource.get(source) ?? [];
    const fresh: Interval[] = [];
    const [before, after]: [Interval[], Interval[]] = [[], []];
    let [from, joinedFirst, joinedLast] = [first, first, last];
    for (const interval of known) {
      if (interval.last < first - 1) before.push(interval);
      else if (interval.first > last + 1) after.push(interval);
      else {
        if (interval.first > from) {
          fresh.push({ first: from, last: Math.min(last, interval.first - 1) });
        }
        from = Math.max(from, interval.last + 1);
        joinedFirst = Math.min(joinedFirst, interval.first);
        joinedLast = Math.max(joinedLast, interval.last);
      }
    }
    if (from <= last) fresh.push({ first: from, last });
    const joined = [...before, { first: joinedFirst, last: joinedLast }, ...after];
    this.#bySource.set(source, joined);
    this.#size += joined.length - known.length;
    return fresh;
  }
}
