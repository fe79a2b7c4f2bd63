/**
 * Holds the numbers of each source against what SQLite has of them; it runs in the worker
 * (worker.ts), where nobody writes meanwhile.
 */
import type { DatabaseSync } from "node:sqlite";
import { countNumbers } from "../../domain.ts";
import type { Checked, SurveyedSource } from "../../ports/audit.ts";
import type { Interval } from "../../ports/group_store.ts";
import { Comparison } from "./comparison.ts";

/**
 * A source of the first format of journals is `instance/run`, whose rows name the instance alone:
 * nobody can say which of its runs a row belongs to.
 */
const MARKS = `select m.source, m.seq as mark, coalesce(
    (select max(last) from dsproxy_audit_notes n where n.source = m.source and n.kind = 'unknown'), 0
  ) as unknownThrough
  from dsproxy_marks m where m.source not like '%/%'`;

interface Mark {
  readonly source: string;
  readonly mark: number;
  readonly unknownThrough: number;
}

/** The table is read once, however many sources there are: flushes wait for it. */
export function survey(db: DatabaseSync): readonly SurveyedSource[] {
  const marks = db.prepare(MARKS).all() as unknown as Mark[];
  const tallies = new Map(marks.map((mark) => [mark.source, new Tally(mark, db)]));
  const former = new Set(
    db.prepare("select source from dsproxy_marks where source like '%/%'").all()
      .map(({ source }) => String(source).split("/")[0]),
  );
  for (const row of db.prepare(EVERY_NUMBER).iterate()) {
    const number = row as unknown as Numbered;
    const { source, rows } = number;
    // What has no mark is a source where rows name it.
    if (!tallies.has(source) && (rows === 0 || former.has(source))) continue;
    const tally = tallies.get(source) ?? new Tally({ source, mark: 0, unknownThrough: 0 }, db);
    tallies.set(source, tally);
    tally.add(number);
  }
  return [...tallies.values()].map((tally) => tally.end())
    .sort((a, b) => a.source < b.source ? -1 : 1);
}

/** What is there of a number, or was noted of it. */
interface Numbered {
  readonly source: string;
  readonly seq: number;
  readonly rows: number;
  readonly dead: number;
  readonly retired: number;
  readonly discarded: number;
}

const EVERY_NUMBER = `select source, seq, sum(rows) as rows, sum(dead) as dead,
    sum(retired) as retired, sum(discarded) as discarded
  from (
    select dsproxy_instance as source, dsproxy_seq as seq, 1 as rows, 0 as dead, 0 as retired,
      0 as discarded from user_data where dsproxy_instance <> ''
    union all select source, seq, 0, 1, 0, 0 from dsproxy_dead_letters
    union all select source, seq, 0, 0, kind = 'retired', kind = 'discarded' from dsproxy_gone)
  group by source, seq order by source, seq`;

class Tally {
  readonly #comparison: Comparison;
  readonly #noted: { readonly withdrawn: number; readonly accepted: number };
  #sums = { rows: 0, dead: 0, retired: 0, discarded: 0 };
  #strays = 0;

  constructor(private readonly mark: Mark, db: DatabaseSync) {
    const { source, mark: last, unknownThrough } = mark;
    const noted = notesOf(db, source, "withdrawn", "accepted");
    this.#comparison = new Comparison(unknownThrough + 1, last, noted);
    const audited = (kind: string) =>
      notesOf(db, source, kind).reduce((sum, note) =>
        sum + Math.max(
          0,
          Math.min(note.last, last) - Math.max(note.first, unknownThrough + 1) + 1,
        ), 0);
    this.#noted = { withdrawn: audited("withdrawn"), accepted: audited("accepted") };
  }

  add({ seq, rows, dead, retired, discarded }: Numbered): void {
    const { mark, unknownThrough } = this.mark;
    if (seq > mark) this.#strays += rows;
    if (seq <= unknownThrough || seq > mark) return;
    this.#comparison.add(seq, rows + dead);
    const { rows: r, dead: d, retired: t, discarded: c } = this.#sums;
    this.#sums = { rows: r + rows, dead: d + dead, retired: t + retired, discarded: c + discarded };
  }

  end(): SurveyedSource {
    const { source, mark, unknownThrough } = this.mark;
    const { missing, doubled } = this.#comparison.end();
    const { rows, dead, retired, discarded } = this.#sums;
    return {
      ...{ source, mark, unknownThrough, rows, dead, strays: this.#strays },
      gone: { retired, discarded, ...this.#noted },
      agrees: missing.numbers === 0 && doubled.numbers === 0,
    };
  }
}

export function check(db: DatabaseSync, source: string, first: number, last: number): Checked {
  const known = db.prepare(`select * from (${MARKS}) where source = ?`).get(source) as unknown as
    | Mark
    | undefined;
  const from = Math.max(first, (known?.unknownThrough ?? 0) + 1);
  const through = Math.min(last, known?.mark ?? 0);
  const comparison = new Comparison(from, through, notesOf(db, source, "withdrawn", "accepted"));
  for (const { seq, times } of numbersOf(db, source, from, through)) comparison.add(seq, times);
  return comparison.end();
}

/** Yields the numbers that are there or noted as gone one by one, in order. */
function* numbersOf(
  db: DatabaseSync,
  source: string,
  from: number,
  through: number,
): Generator<{ readonly seq: number; readonly times: number }> {
  const statement = db.prepare(
    `select seq, sum(times) as times from (
       select dsproxy_seq as seq, 1 as times from user_data where dsproxy_instance = ?1
       union all select seq, 1 from dsproxy_dead_letters where source = ?1
       union all select seq, 0 from dsproxy_gone where source = ?1)
     where seq between ?2 and ?3 group by seq order by seq`,
  );
  for (const { seq, times } of statement.iterate(source, from, through)) {
    yield { seq: Number(seq), times: Number(times) };
  }
}

function notesOf(db: DatabaseSync, source: string, ...kinds: readonly string[]): Interval[] {
  return db.prepare(
    `select first, last from dsproxy_audit_notes
     where source = ? and kind in (${kinds.map(() => "?").join(", ")}) order by first`,
  ).all(source, ...kinds).map(({ first, last }) => ({ first: Number(first), last: Number(last) }));
}

export function strays(db: DatabaseSync, source: string, limit: number): readonly number[] {
  return db.prepare(
    `select distinct dsproxy_seq as seq from user_data where dsproxy_instance = ?1
       and dsproxy_seq > coalesce((select seq from dsproxy_marks where source = ?1), 0)
     order by 1 limit ?2`,
  ).all(source, limit).map(({ seq }) => Number(seq));
}

/** It has to be called in a transaction. */
export function accept(db: DatabaseSync, source: string, gap: Interval, reason: string): number {
  const { missing } = check(db, source, gap.first, gap.last);
  for (const one of missing.first) noteInterval(db, source, "accepted", one, reason);
  const accepted = countNumbers(missing.first);
  // A look names so many gaps at a time.
  if (accepted === missing.numbers) return accepted;
  const next = missing.first.at(-1)!.last + 1;
  return accepted + accept(db, source, { first: next, last: gap.last }, reason);
}

/** It belongs into the transaction that lets the store go on behind these numbers. */
export function noteInterval(
  db: DatabaseSync,
  source: string,
  kind: "withdrawn" | "accepted",
  { first, last }: Interval,
  reason = "",
): void {
  db.prepare(
    `insert into dsproxy_audit_notes (source, kind, first, last, reason) values (?, ?, ?, ?, ?)
     on conflict (source, kind, first)
       do update set last = max(last, excluded.last), reason = excluded.reason`,
  ).run(source, kind, first, last, reason);
}
