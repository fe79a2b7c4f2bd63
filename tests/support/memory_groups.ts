/** Groups in a database in memory. Each call is one transaction that happens at once. */
import { ForeignGroupError, GroupsOverlapError } from "../../src/errors.ts";
import type {
  Applied,
  EntryGroup,
  Folded,
  GroupStore,
  Interval,
} from "../../src/ports/group_store.ts";
import type { RefusedEntry } from "../../src/ports/dead_letters.ts";
import type { MemoryStore } from "./memory_store.ts";

/** What a backup has of {@link MemoryGroups}. */
export type AppliedIntervals = ReadonlyMap<string, readonly Interval[]>;

export class MemoryGroups implements GroupStore {
  #applied = new Map<string, readonly Interval[]>();

  constructor(private readonly tables: MemoryStore) {}

  async apply(groups: readonly EntryGroup[]): Promise<Applied> {
    await Promise.resolve();
    return this.applyAtOnce(groups);
  }

  async fold(source: string, never: readonly Interval[] = []): Promise<Folded> {
    await Promise.resolve();
    return this.foldAtOnce(source, never);
  }

  async dead(source: string, first: number, last: number): Promise<readonly RefusedEntry[]> {
    await Promise.resolve();
    return this.tables.deadAmong(source, first, last);
  }

  snapshot(): AppliedIntervals {
    return new Map(this.#applied);
  }

  restore(intervals: AppliedIntervals): void {
    this.#applied = new Map(intervals);
  }

  applyAtOnce(groups: readonly EntryGroup[]): Applied {
    const distinct = new Map(
      groups.map((group) => [`${group.source} ${group.first} ${group.last}`, group]),
    );
    const foreign = groups.find(({ store }) =>
      ![undefined, this.tables.identity.id].includes(store)
    );
    if (foreign !== undefined) throw new ForeignGroupError("one is meant for another store");
    this.#refuseOverlaps([...distinct.values()]);
    const fresh = [...distinct.values()].filter((group) => !this.has(group));
    const { refusesAll } = this.tables;
    let rows = 0;
    for (const { source, entries } of fresh) {
      // What refuses all of them does so before anything is there.
      rows += this.tables.insertWhatGoesIn(source, entries);
    }
    if (refusesAll === undefined || fresh.every(({ entries }) => entries.length === 0)) {
      for (const group of fresh) this.note(group);
    }
    const dead = [...distinct.values()].flatMap(({ source, first, last }) =>
      this.tables.deadAmong(source, first, last).map((refusal) => ({ ...refusal, source }))
    );
    return { rows, dead };
  }

  foldAtOnce(source: string, never: readonly Interval[] = []): Folded {
    const ordered = this.#of(source).toSorted((a, b) => a.first - b.first);
    let mark = this.#mark(source);
    const overNever = (lastSeq: number) => {
      for (const { first, last } of never) {
        if (first <= mark + 1) mark = Math.max(mark, Math.min(last, lastSeq));
      }
    };
    let through = 0;
    for (let next; (next = ordered[0]) !== undefined; ordered.shift()) {
      if (next.first <= through) throw new GroupsOverlapError(`${next.first} is there twice`);
      through = next.last;
      overNever(next.first - 1);
      if (next.first > mark + 1) break;
      mark = Math.max(mark, next.last);
    }
    if (ordered.length === 0) overNever(Infinity);
    this.#applied.set(source, ordered);
    this.tables.moveMark(source, mark);
    return { mark, ahead: ordered.length > 0 };
  }

  #of(source: string): readonly Interval[] {
    return this.#applied.get(source) ?? [];
  }

  #mark(source: string): number {
    return this.tables.markOf.get(source) ?? 0;
  }

  /** For whoever has brought its entries there, or has not: a bug planted on purpose. */
  note({ source, first, last }: EntryGroup): void {
    this.#applied.set(source, [...this.#of(source), { first, last }]);
  }

  has({ source, first, last }: EntryGroup): boolean {
    return last <= this.#mark(source) ||
      this.#of(source).some((there) => there.first === first && there.last === last);
  }

  #refuseOverlaps(groups: readonly EntryGroup[]): void {
    for (const [index, group] of groups.entries()) {
      const others = groups.filter((other, i) => i !== index && other.source === group.source);
      const mark = this.#mark(group.source);
      const isCut = group.first <= mark && mark < group.last;
      const overlaps = [...this.#of(group.source), ...others].some(({ first, last }) =>
        first <= group.last && last >= group.first &&
        (first !== group.first || last !== group.last)
      );
      if (isCut || overlaps) {
        throw new GroupsOverlapError(`${group.first} to ${group.last} are there in part`);
      }
    }
  }
}
