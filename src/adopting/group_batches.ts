/** Puts groups of one source together, as many as one transaction is to have. */
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf } from "../packed.ts";
import type { EntryGroup } from "../ports/group_store.ts";
import type { GroupSource } from "../ports/group_source.ts";

export interface GroupBatch {
  readonly source: string;
  /** They follow one another, and there is at least one. */
  readonly groups: readonly EntryGroup[];
}

/** A group has half a MiB at most: adoption is to take little beside what flushes take. */
const BATCH_BYTES = MEMORY_BUDGET.batch.bytes / 4;
/** Each has an interval of its own in the store until the mark is moved over it. */
const GROUPS_MAX = 500;

export class GroupBatches {
  /** It was taken, and did not fit. */
  #rest: EntryGroup | undefined;

  constructor(private readonly source: Pick<GroupSource, "take">) {}

  /**
   * Returns the next batch; undefined when there is none.
   * @param maxRows a batch of several groups has at most so many entries
   * @throws whatever the disk says
   */
  async take(maxRows: number): Promise<GroupBatch | undefined> {
    const first = await this.#next();
    if (first === undefined) return undefined;
    const groups = [first];
    let [rows, bytes] = sizeOf(first);
    while (groups.length < GROUPS_MAX) {
      const group = await this.#next();
      if (group === undefined) break;
      const [moreRows, moreBytes] = sizeOf(group);
      rows += moreRows;
      bytes += moreBytes;
      if (group.source !== first.source || rows > maxRows || bytes > BATCH_BYTES) {
        this.#rest = group;
        break;
      }
      groups.push(group);
    }
    return { source: first.source, groups };
  }

  async #next(): Promise<EntryGroup | undefined> {
    const group = this.#rest ?? await this.source.take();
    this.#rest = undefined;
    return group;
  }
}

function sizeOf({ entries }: EntryGroup): [rows: number, bytes: number] {
  return [entries.length, entries.reduce((sum, entry) => sum + bytesOf(entry), 0)];
}
