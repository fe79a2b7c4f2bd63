/**
 * Holds the numbers of each source against what SQLite has of them; it runs in the worker
 * (worker.ts), where nobody writes meanwhile.
 */
import type { DatabaseSync } from "node:sqlite";
import type { Checked, SurveyedSource } from "../../ports/audit.ts";
import type { Interval } from "../../ports/group_store.ts";

/** Of what a call finds so much is named. */
const NAMED_MAX = 1_000;

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

export function survey(db: DatabaseSync): readonly SurveyedSource[] {
  const marks = db.prepare(`${MARKS} order by 1`).all() as unknown as Mark[];
  const known = marks.map((mark) => surveyed(db, mark));
  const unknown = db.prepare(
    `select dsproxy_instance as source, count(*) as strays from user_data
     where dsproxy_instance <> ''
       and dsproxy_instance not in (select source from dsproxy_marks)
       and dsproxy_instance not in
         (select substr(source, 1, instr(source, '/') - 1) from dsproxy_marks)
     group by 1`,
  ).all().map(({ source, strays }): SurveyedSource => ({
    ...{ source: String(source), mark: 0, unknownThrough: 0, rows: 0, dead: 0, agrees: true },
    strays: Number(strays),
    gone: { retired: 0, discarded: 0, withdrawn: 0, accepted: 0 },
  }));
  return [...known, ...unknown].sort((a, b) => a.source < b.source ? -1 : 1);
}

function surveyed(db: DatabaseSync, { source, mark, unknownThrough }: Mark): SurveyedSource {
  const count = (text: string, ...more: string[]) =>
    Number(
      db.prepare(`select count(*) as n ${text}`).get(source, unknownThrough, mark, ...more)!.n,
    );
  const { missing, doubled } = check(db, source, 1, mark);
  const goneAs = (kind: "retired" | "discarded") =>
    count("from dsproxy_gone where source = ? and seq > ? and seq <= ? and kind = ?", kind);
  const notedAs = (kind: "withdrawn" | "accepted") =>
    notesOf(db, source, kind).reduce(
      (sum, { first, last }) =>
        sum + Math.max(0, Math.min(last, mark) - Math.max(first, unknownThrough + 1) + 1),
      0,
    );
  return {
    ...{ source, mark, unknownThrough },
    rows: count(
      "from user_data where dsproxy_instance = ? and dsproxy_seq > ? and dsproxy_seq <= ?",
    ),
    strays: Number(
      db.prepare(
        "select count(*) as n from user_data where dsproxy_instance = ? and dsproxy_seq > ?",
      ).get(source, mark)!.n,
    ),
    dead: count("from dsproxy_dead_letters where source = ? and seq > ? and seq <= ?"),
    gone: {
      ...{ retired: goneAs("retired"), discarded: goneAs("discarded") },
      ...{ withdrawn: notedAs("withdrawn"), accepted: notedAs("accepted") },
    },
    agrees: missing.numbers === 0 && doubled.numbers === 0,
  };
}

export function check(db: DatabaseSync, source: string, first: number, last: number): Checked {
  const known = db.prepare(`select * from (${MARKS}) where source = ?`).get(source) as unknown as
    | Mark
    | undefined;
  const from = Math.max(first, (known?.unknownThrough ?? 0) + 1);
  const through = Math.min(last, known?.mark ?? 0);
  const gaps = new Gaps(notesOf(db, source, "withdrawn", "accepted"));
  const doubled: { seq: number; times: number }[] = [];
  let doubledNumbers = 0;
  let next = from;
  for (const { seq, times } of numbersOf(db, source, from, through)) {
    gaps.add(next, seq - 1);
    next = seq + 1;
    if (times <= 1) continue;
    doubledNumbers++;
    if (doubled.length < NAMED_MAX) doubled.push({ seq, times });
  }
  gaps.add(next, through);
  return {
    numbers: Math.max(0, through - from + 1),
    missing: { first: gaps.named, numbers: gaps.numbers },
    doubled: { first: doubled, numbers: doubledNumbers },
  };
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

/** Gathers numbers that are missing, without those that were noted. */
class Gaps {
  readonly named: Interval[] = [];
  numbers = 0;
  #next = 0;

  /** @param noted they ascend */
  constructor(private readonly noted: readonly Interval[]) {}

  /** Is told of numbers that ascend from call to call; there are none where `last` is the less. */
  add(first: number, last: number): void {
    let from = first;
    while (this.#next < this.noted.length && this.noted[this.#next]!.first <= last) {
      const note = this.noted[this.#next]!;
      this.#note(from, note.first - 1);
      from = Math.max(from, note.last + 1);
      if (note.last >= last) break;
      this.#next++;
    }
    this.#note(from, last);
  }

  #note(first: number, last: number): void {
    if (last < first) return;
    this.numbers += last - first + 1;
    if (this.named.length < NAMED_MAX) this.named.push({ first, last });
  }
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
  const accepted = missing.first.reduce((sum, { first, last }) => sum + last - first + 1, 0);
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
