/** Keeps the dead letters' table in SQLite; it runs in the worker (worker.ts). */
import type { DatabaseSync } from "node:sqlite";
import { type Entry, writeId } from "../../domain.ts";
import { dueAmong, type DueLetters, type LetterPlace } from "../../ports/dead_letter_retries.ts";
import {
  type DeadLetter,
  type LetterFilter,
  type LetterSurvey,
  type Reason,
  REASON_LETTERS_MAX,
  REASONS_MAX,
  type RefusedEntry,
  type Rejection,
} from "../../ports/dead_letters.ts";
import { conditionOf } from "./dead_letter_filter.ts";
import { noteGone } from "./gone.ts";
import { Vanished } from "./refusals.ts";
import { COLUMN_NAMES } from "./user_data.ts";

export function buryDeadLetter(
  db: DatabaseSync,
  source: string,
  entry: Entry,
  { code, message }: Rejection,
): void {
  const { userId, value, ts, acceptedMs, run, seq } = entry;
  db.prepare(`insert into dsproxy_dead_letters
    (source, id, user_id, value, ts, accepted_ms, instance, seq, code, message, failed_at_ms)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
    .run(
      source,
      writeId(entry),
      userId,
      value,
      ts,
      acceptedMs,
      run,
      seq,
      code,
      message,
      Date.now(),
    );
}

export function deadAmong(
  db: DatabaseSync,
  source: string,
  firstSeq: number,
  lastSeq: number,
): RefusedEntry[] {
  return db.prepare(
    "select seq, code, message from dsproxy_dead_letters where source = ? and seq between ? and ?",
  )
    .all(source, firstSeq, lastSeq)
    .map(({ seq, code, message }) => ({
      seq: Number(seq),
      code: String(code),
      message: String(message),
    }));
}

export function countDeadLetters(db: DatabaseSync): number {
  return Number(db.prepare("select count(*) as n from dsproxy_dead_letters").get()!.n);
}

export function surveyDeadLetters(
  db: DatabaseSync,
  filter: LetterFilter,
  reasonsMax: number,
): LetterSurvey {
  const { text, parameters } = conditionOf(filter);
  const found = db.prepare(
    `select code, count(*) as n from dsproxy_dead_letters where ${text}
     group by code order by n desc, code`,
  ).all(...parameters).map(({ code, n }) => ({ code: String(code), count: Number(n) }));
  return {
    count: found.reduce((sum, { count }) => sum + count, 0),
    reasons: found.slice(0, reasonsMax),
    untilMs: Date.now() + 1,
  };
}

export function countReasons(db: DatabaseSync): Reason[] {
  return db.prepare(
    `select code, count(*) as n from (select code from dsproxy_dead_letters limit ?)
    group by code order by n desc, code limit ?`,
  )
    .all(REASON_LETTERS_MAX, REASONS_MAX)
    .map(({ code, n }) => ({ code: String(code), count: Number(n) }));
}

export function listDeadLetters(
  db: DatabaseSync,
  limit: number,
  after: LetterPlace = { source: "", seq: 0 },
  filter: LetterFilter = {},
): DeadLetter[] {
  const { text, parameters } = conditionOf(filter);
  return db.prepare(
    `select * from dsproxy_dead_letters where (source, seq) > (?, ?) and ${text}
     order by source, seq limit ?`,
  )
    .all(after.source, after.seq, ...parameters, limit).map(letterOf);
}

export function findDeadLetter(db: DatabaseSync, id: string): DeadLetter | undefined {
  const row = db.prepare("select * from dsproxy_dead_letters where id = ? order by source limit 1")
    .get(id);
  return row && letterOf(row);
}

/** It has to be called in a transaction. */
export function discardDeadLetter(db: DatabaseSync, id: string): boolean {
  const letters = db.prepare("select instance, seq from dsproxy_dead_letters where id = ?").all(id);
  noteGone(
    db,
    "discarded",
    letters.map(({ instance, seq }) => ({ run: String(instance), seq: Number(seq) })),
  );
  return remove(db, id) > 0;
}

/** Puts the entry of a dead letter in as a row. It has to be called in a transaction. */
export function replayDeadLetter(db: DatabaseSync, id: string): Entry | undefined {
  const letter = findDeadLetter(db, id);
  if (letter === undefined) return undefined;
  const { changes } = db.prepare(
    `insert into user_data (${COLUMN_NAMES})
    select user_id, value, ts, accepted_ms, instance, seq from dsproxy_dead_letters where id = ?`,
  ).run(id);
  if (changes === 0) throw new Vanished();
  remove(db, id);
  const { userId, value, ts, acceptedMs, run, seq } = letter;
  return { userId, value, ts, acceptedMs, run, seq };
}

function remove(db: DatabaseSync, id: string): number {
  return Number(db.prepare("delete from dsproxy_dead_letters where id = ?").run(id).changes);
}

/** @param triesDone it counts as tried so often before, at least */
export function countAttempt(
  db: DatabaseSync,
  id: string,
  { code, message }: Rejection,
  triesDone: number,
): void {
  db.prepare(
    `update dsproxy_dead_letters set attempts = max(attempts, ?) + 1, code = ?, message = ?
     where id = ?`,
  )
    .run(triesDone, code, message, id);
}

/** A call looks at so many, few of which may be due. */
const LOOKED_AT_MAX = 1_000;

export function dueDeadLetters(
  db: DatabaseSync,
  agesMs: readonly number[],
  limit: number,
  from: LetterPlace = { source: "", seq: 0 },
): DueLetters {
  const nowMs = Date.now();
  const rows = db.prepare(
    `select source, user_id, ts, accepted_ms, instance, seq, attempts, failed_at_ms
     from dsproxy_dead_letters
     where (source, seq) > (?, ?) order by source, seq limit ${LOOKED_AT_MAX}`,
  ).all(from.source, from.seq).map((row) => ({
    source: String(row.source),
    userId: String(row.user_id),
    ts: Number(row.ts),
    acceptedMs: Number(row.accepted_ms),
    run: String(row.instance),
    seq: Number(row.seq),
    attempts: Number(row.attempts),
    passedAges: agesMs.filter((ageMs) => Number(row.failed_at_ms) + ageMs <= nowMs).length,
  }));
  return dueAmong(rows, limit, LOOKED_AT_MAX);
}

function letterOf(row: Record<string, unknown>): DeadLetter {
  return {
    source: String(row.source),
    userId: String(row.user_id),
    value: String(row.value),
    ts: Number(row.ts),
    acceptedMs: Number(row.accepted_ms),
    run: String(row.instance),
    seq: Number(row.seq),
    code: String(row.code),
    message: String(row.message),
    failedAtMs: Number(row.failed_at_ms),
    attempts: Number(row.attempts),
  };
}
