/** Groups of entries, as a source would send them. */
import type { EntryGroup } from "../../src/ports/group_store.ts";
import { entry } from "./fakes.ts";

export const SOURCE = "run000000001";

/** Has all numbers of the interval but those that never became durable. */
export function group(
  first: number,
  last: number,
  source = SOURCE,
  withdrawn: number[] = [],
): EntryGroup {
  const seqs = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const entries = seqs.filter((seq) => !withdrawn.includes(seq)).map((seq) =>
    entry(seq, { userId: `${source} ${seq}`, run: source })
  );
  return { source, first, last, entries };
}
