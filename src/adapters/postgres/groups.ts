/**
 * Applies groups of entries in whatever order they come. Their intervals are inserted before the
 * marks are read, each by a statement of its own: whoever else has the same group at hand waits for
 * the one that came first, and a mark that was moved over it meanwhile is seen. In another order, or
 * in one statement, a group could be there twice. Before they are read the marks are locked against
 * a `put` (put.ts), which a process that is dead by now may have left behind in the database: what
 * it commits is seen, too.
 */
import pg from "pg";
import { type Entry, gapsIn } from "../../domain.ts";
import { ForeignGroupError } from "../../errors.ts";
import type {
  Applied,
  EntryGroup,
  Folded,
  GroupStore,
  Interval,
  SourcedRefusal,
} from "../../ports/group_store.ts";
import type { RefusedEntry } from "../../ports/dead_letters.ts";
import { buryDeadLetters, deadAmong } from "./dead_letters.ts";
import { noteGaps } from "./gaps.ts";
import { ensureGroupsTable } from "./groups_table.ts";
import { overlap, passOver } from "./pass_over.ts";
import { moveMark } from "./put.ts";
import { insertOneByOne, insertTogether, inTransactionOrApart } from "./rows.ts";
import { SYNCHRONOUS, TAKES_COPY } from "./safeguards.ts";
import type { Session, Transaction } from "./session.ts";
import type { Changes } from "./within_term.ts";

/** A fold of so many intervals takes milliseconds; what is left follows with the next one. */
const FOLDED_MAX = 1_000;

export class PostgresGroups implements GroupStore {
  #ready: Promise<void> | undefined;

  constructor(private readonly database: Changes) {}

  async apply(groups: readonly EntryGroup[]): Promise<Applied> {
    // The same one may be among them twice.
    const distinct = new Map(groups.map((group) => [keyOf(group), group]));
    const ordered = [...distinct.values()].sort(byPlace);
    if (ordered.length === 0) return { rows: 0, dead: [] };
    return await this.#withTable(() =>
      inTransactionOrApart(
        this.database,
        (transaction) => applyTogether(transaction, ordered),
        (transaction) => applyOneByOne(transaction, ordered),
      )
    );
  }

  async fold(source: string, never: readonly Interval[] = []): Promise<Folded> {
    return await this.#withTable(() =>
      this.database.transaction((transaction) => foldInto(transaction, source, never))
    );
  }

  dead(source: string, first: number, last: number): Promise<readonly RefusedEntry[]> {
    return this.database.read((session) => deadAmong(session, source, first, last));
  }

  async #withTable<T>(work: () => Promise<T>): Promise<T> {
    const ready = this.#ready ??= this.database.run(ensureGroupsTable);
    try {
      await ready;
      return await work();
    } catch (error) {
      // Whatever it was, the next call looks whether the table is there.
      if (this.#ready === ready) this.#ready = undefined;
      throw error;
    }
  }
}

/** Has to be called in a transaction, with groups in order. */
export async function applyTogether(
  transaction: Transaction,
  groups: readonly EntryGroup[],
): Promise<Applied> {
  const { fresh, takesCopy } = await claim(transaction, groups);
  const entries = entriesOf(fresh);
  noteGapsOf(transaction, fresh);
  if (entries.length > 0) await insertTogether(transaction, entries, takesCopy);
  return { rows: entries.length, dead: await deadOf(transaction, without(groups, fresh)) };
}

async function applyOneByOne(
  transaction: Transaction,
  groups: readonly EntryGroup[],
): Promise<Applied> {
  // A deferred constraint would speak up at the end only, and then against all of them.
  await transaction.query("set constraints all immediate");
  const { fresh } = await claim(transaction, groups);
  noteGapsOf(transaction, fresh);
  let rows = 0;
  for (const [source, of] of Map.groupBy(fresh, ({ source }) => source)) {
    const entries = entriesOf(of);
    const refused = await insertOneByOne(transaction, entries, []);
    await buryDeadLetters(transaction, source, entries, refused);
    rows += entries.length - refused.length;
  }
  return { rows, dead: await deadOf(transaction, groups) };
}

interface Claimed {
  /** The store does not have these, and nobody else brings them. */
  readonly fresh: readonly EntryGroup[];
  readonly takesCopy: boolean;
}

async function claim(transaction: Transaction, groups: readonly EntryGroup[]): Promise<Claimed> {
  const values = groups.map(({ source, first, last }) =>
    `(${pg.escapeLiteral(source)}, ${first}::bigint, ${last}::bigint)`
  ).join(", ");
  const { rows: inserted } = await transaction.query<Keyed>(
    `insert into dsproxy_applied (source, first, last) values ${values}
     on conflict (source, first) do nothing returning source, first, last`,
  );
  const { rows: known } = await transaction.query<Known>(
    `${awaitPuts(groups)};
     select g.source, g.first, g.last, coalesce(m.seq, 0) as mark, ${SYNCHRONOUS}, ${TAKES_COPY},
       (select identity from dsproxy_store) as store,
       exists (select from dsproxy_applied a where a.source = g.source and a.first <= g.last
         and a.last >= g.first and (a.first, a.last) <> (g.first, g.last)) as overlaps
     from (values ${values}) as g (source, first, last)
     left join dsproxy_marks m on m.source = g.source`,
  );
  const claimed = new Set(inserted.map(keyOf));
  const knownOf = new Map(known.map((row) => [keyOf(row), row]));
  const fresh = groups.filter((group) => {
    const { mark, overlaps, store } = knownOf.get(keyOf(group))!;
    if (group.store !== undefined && group.store !== store) throw foreign(group, store);
    if (overlaps || (group.first <= Number(mark) && Number(mark) < group.last)) {
      throw overlap(group);
    }
    if (!claimed.has(keyOf(group))) return false;
    if (Number(mark) < group.last) return true;
    transaction.atEnd(
      `delete from dsproxy_applied where source = ${
        pg.escapeLiteral(group.source)
      } and first = ${group.first}`,
    );
    return false;
  });
  return { fresh, takesCopy: known.every(({ takes_copy }) => takes_copy) };
}

/**
 * Returns the statement that waits for each `put` of these sources that has locked its mark, in the
 * order of the keys. Of all that lock a mark only a `put` is waited for: applying groups and moving
 * the mark over them stand in nobody's way. Where there is no mark, there is no `put`.
 */
function awaitPuts(groups: readonly EntryGroup[]): string {
  const sources = [...new Set(groups.map(({ source }) => pg.escapeLiteral(source)))];
  return `select from dsproxy_marks where source in (${sources.join(", ")})
    order by source for key share`;
}

/** It names a group, by numbers or by their texts. */
interface Keyed {
  readonly source: string;
  readonly first: string | number;
  readonly last: string | number;
}

interface Known extends Keyed {
  readonly mark: string;
  readonly takes_copy: boolean;
  readonly overlaps: boolean;
  readonly store: string;
}

/** Has to be called in a transaction. */
export async function foldInto(
  transaction: Transaction,
  source: string,
  never: readonly Interval[] = [],
): Promise<Folded> {
  const named = pg.escapeLiteral(source);
  const { rows: [row] } = await transaction.query<{ seq: string }>(
    `insert into dsproxy_marks (source, seq) values (${named}, 0) on conflict do nothing;
     select seq, ${SYNCHRONOUS} from dsproxy_marks where source = ${named}
     for no key update`,
  );
  const before = Number(row!.seq);
  const { rows } = await transaction.query<{ first: string; last: string }>(
    `select first, last from dsproxy_applied where source = ${named}
     order by first limit ${FOLDED_MAX}`,
  );
  const isAll = rows.length < FOLDED_MAX;
  const { mark, passed, gone } = passOver(source, before, rows.map(numbersOf), never, isAll);
  if (passed.length > 0) {
    transaction.atEnd(
      `delete from dsproxy_applied where source = ${named} and first in (${passed.join(", ")})`,
    );
  }
  if (mark > before) transaction.atEnd(moveMark(source, mark));
  noteGaps(transaction, source, gone);
  return { mark, ahead: passed.length < rows.length };
}

function noteGapsOf(transaction: Transaction, groups: readonly EntryGroup[]): void {
  for (const { source, first, last, entries } of groups) {
    noteGaps(transaction, source, gapsIn(entries, first, last));
  }
}

async function deadOf(
  session: Session,
  groups: readonly EntryGroup[],
): Promise<readonly SourcedRefusal[]> {
  const dead: SourcedRefusal[] = [];
  for (const { source, first, last } of groups) {
    for (const refusal of await deadAmong(session, source, first, last)) {
      dead.push({ ...refusal, source });
    }
  }
  return dead;
}

function entriesOf(groups: readonly EntryGroup[]): readonly Entry[] {
  return groups.flatMap(({ entries }) => entries);
}

function without(groups: readonly EntryGroup[], some: readonly EntryGroup[]): EntryGroup[] {
  return groups.filter((group) => !some.includes(group));
}

function keyOf({ source, first, last }: Keyed): string {
  return `${source} ${first} ${last}`;
}

function numbersOf({ first, last }: { readonly first: string; readonly last: string }) {
  return { first: Number(first), last: Number(last) };
}

/** All callers lock in this order, so that none waits for one that waits for it. */
function byPlace(a: EntryGroup, b: EntryGroup): number {
  if (a.source !== b.source) return a.source < b.source ? -1 : 1;
  return a.first - b.first;
}

function foreign({ source, first, last, store }: EntryGroup, own: string): ForeignGroupError {
  return new ForeignGroupError(
    `The numbers ${first} to ${last} of ${source} are for the store ${store}, and this is ${own}: ` +
      "compare the DB_* settings of the API servers and workers",
  );
}
