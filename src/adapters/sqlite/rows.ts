/** Has the statements on rows and marks in SQLite; it runs in the worker (worker.ts). */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { withoutValues } from "../../database_words.ts";
import { type Entry, withdrawnIn } from "../../domain.ts";
import type { RefusedEntry } from "../../ports/dead_letters.ts";
import type { PutResult } from "../../ports/store.ts";
import { noteInterval } from "./audit.ts";
import { buryDeadLetter, deadAmong } from "./dead_letters.ts";
import { refusalOf, TableRefuses, Vanished, WentBack } from "./refusals.ts";
import { COLUMN_NAMES, entryOf, insertEntry, NEWEST_FIRST, prepareInsert } from "./user_data.ts";

export function open(db: DatabaseSync, source: string): number {
  db.prepare("insert into dsproxy_marks (source, seq) values (?, 0) on conflict do nothing").run(
    source,
  );
  return markOf(db, source)!;
}

function markOf(db: DatabaseSync, source: string): number | undefined {
  const row = db.prepare("select seq from dsproxy_marks where source = ?").get(source);
  return row && Number(row.seq);
}

export function marksOf(
  db: DatabaseSync,
  sources: readonly string[],
): Map<string, number> {
  const marks = new Map<string, number>();
  for (const source of sources) {
    const mark = markOf(db, source);
    if (mark !== undefined) marks.set(source, mark);
  }
  return marks;
}

/**
 * Puts a batch and moves its mark. It has to be called in a transaction.
 * @throws WentBack, TableRefuses, or what SQLite says
 */
export function put(
  db: DatabaseSync,
  source: string,
  entries: readonly Entry[],
  confirmedSeq: number,
  lostThroughSeq?: number,
): PutResult {
  const mark = markOf(db, source);
  if (mark === undefined || mark < confirmedSeq) {
    throw new WentBack(
      `the mark of ${source} is ${mark}, though ${confirmedSeq} had been confirmed`,
    );
  }
  const fresh = entries[0]!.seq > mark ? entries : entries.filter(({ seq }) => seq > mark);
  const refused = insertWhatGoesIn(db, fresh);
  if (fresh.length > 0 && refused.size === fresh.length) {
    refuseWhereTableIsAtFault(db, [...refused.values()]);
  }
  for (const entry of fresh) {
    const reason = refused.get(entry.seq);
    if (reason !== undefined) buryDeadLetter(db, source, entry, reason);
  }
  db.prepare("update dsproxy_marks set seq = max(seq, ?) where source = ?").run(
    entries.at(-1)!.seq,
    source,
  );
  if (fresh.length > 0) {
    for (const gap of withdrawnIn(fresh, mark, lostThroughSeq)) {
      noteInterval(db, source, "withdrawn", gap);
    }
  }
  const dead = deadAmong(db, source, entries[0]!.seq, entries.at(-1)!.seq);
  return { rows: fresh.length - refused.size, dead };
}

/**
 * Inserts what goes in. Rows that are refused are tried once more when all others have had their
 * turn.
 */
function insertWhatGoesIn(
  db: DatabaseSync,
  entries: readonly Entry[],
): Map<number, RefusedEntry> {
  if (entries.length === 0) return new Map();
  const insert = prepareInsert(db);
  const refusedOnce = entries.filter((entry) =>
    refusalOf(() => insertOne(insert, entry)) !== undefined
  );
  const refused = new Map<number, RefusedEntry>();
  for (const entry of refusedOnce) {
    const refusal = refusalOf(() => insertOne(insert, entry));
    if (refusal !== undefined) refused.set(entry.seq, { seq: entry.seq, ...refusal });
  }
  return refused;
}

function insertOne(insert: StatementSync, entry: Entry): void {
  if (insertEntry(insert, entry).changes === 0) throw new Vanished();
}

/**
 * Probes the table with a row that nobody can have anything against.
 * @throws TableRefuses when that is refused like all others
 */
function refuseWhereTableIsAtFault(db: DatabaseSync, refused: readonly RefusedEntry[]): void {
  db.exec("savepoint probe");
  try {
    const insert = prepareInsert(db);
    const probe = refusalOf(() =>
      insertEntry(insert, {
        userId: `dsproxy-probe-${crypto.randomUUID()}`,
        value: "probe",
        ts: 0,
        acceptedMs: 0,
        run: "",
        seq: 0,
      })
    );
    if (probe !== undefined && refused.every(({ code }) => code === probe.code)) {
      throw new TableRefuses({
        ...probe,
        message: `user_data takes no row at all: ${withoutValues(probe.code, probe.message)}`,
      });
    }
  } finally {
    db.exec("rollback to probe; release probe");
  }
}

export function latest(db: DatabaseSync, userId: string): Entry | undefined {
  const row = db.prepare(`select ${COLUMN_NAMES} from user_data
    where user_id = ? and value is not null order by ${NEWEST_FIRST} limit 1`).get(userId);
  // It is who was asked for, though a collation of the column may take other spellings for the
  // same.
  return row && { ...entryOf(row), userId };
}
