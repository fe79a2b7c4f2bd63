/** Decides how far a fold moves the mark, of what is applied above it and what never comes. */
import { GroupsOverlapError } from "../../errors.ts";
import type { EntryGroup, Interval } from "../../ports/group_store.ts";

/**
 * Returns how far the mark goes, and where the intervals begin that are below it then. Whatever is
 * among the intervals has its rows in the store, so that numbers that were called gone give way to
 * it: they came after all, from a broker that still had them. Two intervals overlap where groups
 * were cut anew and brought at the very same time.
 * @param isAll no intervals follow these
 */
export function passOver(
  source: string,
  before: number,
  applied: readonly Interval[],
  never: readonly Interval[],
  isAll: boolean,
): Passed {
  let mark = before;
  let appliedThrough = 0;
  const passed: number[] = [];
  const gone: Interval[] = [];
  const passNever = (lastSeq: number) => {
    const through = overNever(mark, never, lastSeq);
    if (through > mark) gone.push({ first: mark + 1, last: through });
    mark = through;
  };
  for (const { first, last } of applied) {
    if (first <= appliedThrough) throw overlap({ source, first, last });
    appliedThrough = last;
    passNever(first - 1);
    if (first > mark + 1) return { mark, passed, gone };
    mark = Math.max(mark, last);
    passed.push(first);
  }
  if (isAll) passNever(Infinity);
  return { mark, passed, gone };
}

interface Passed {
  readonly mark: number;
  /** These intervals, by their first numbers, are below the mark. */
  readonly passed: readonly number[];
  /** The mark went over these numbers because they never come. */
  readonly gone: readonly Interval[];
}

/** Returns how far numbers that never come lead on from a mark, through `lastSeq` at most. */
function overNever(mark: number, never: readonly Interval[], lastSeq: number): number {
  for (const { first, last } of never) {
    if (first <= mark + 1) mark = Math.max(mark, Math.min(last, lastSeq));
  }
  return mark;
}

export function overlap({ source, first, last }: Omit<EntryGroup, "entries">): GroupsOverlapError {
  return new GroupsOverlapError(
    `The numbers ${first} to ${last} of ${source} are there in part, within other bounds`,
  );
}
