/** Keeps the dead letters' table in SQLite; it runs in the worker (worker.ts). */
import type { DatabaseSync } from "node:sqlite";
import { type Entry, writeId } from "../../domain.ts";
import type { DeadLetter, RefusedEntry, Rejection } from "../../ports/dead_letters.ts";
import { COLUMN_NAMES } from "./user_data.ts";

export type LetterKey = Pick<DeadLetter, "source" | "seq">;

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

export function listDeadLetters(
  db: DatabaseSync,
  limit: number,
  after: LetterKey = { source: "", seq: 0 },
): DeadLetter[] {
  return db.prepare(
    "select * from dsproxy_dead_letters where (source, seq) > (?, ?) order by source, seq limit ?",
  )
    .all(after.source, after.seq, limit).map(letterOf);
}

export function findDeadLetter(db: DatabaseSync, id: string): DeadLetter | undefined {
  const row = db.prepare("select * from dsproxy_dead_letters where id = ? order by source limit 1")
    .get(id);
  return row && letterOf(row);
}

export function discardDeadLetter(db: DatabaseSync, id: string): boolean {
  return Number(db.prepare("delete from dsproxy_dead_letters where id = ?").run(id).changes) > 0;
}

/** Puts the entry of a dead letter in as a row. It has to be called in a transaction. */
export function replayDeadLetter(db: DatabaseSync, id: string): Entry | undefined {
  const letter = findDeadLetter(db, id);
  if (letter === undefined) return undefined;
  db.prepare(
    `insert into user_data (${COLUMN_NAMES})
    select user_id, value, ts, accepted_ms, instance, seq from dsproxy_dead_letters where id = ?`,
  ).run(id);
  discardDeadLetter(db, id);
  const { userId, value, ts, acceptedMs, run, seq } = letter;
  return { userId, value, ts, acceptedMs, run, seq };
}

export function countAttempt(db: DatabaseSync, id: string, { code, message }: Rejection): void {
  db.prepare(
    "update dsproxy_dead_letters set attempts = attempts + 1, code = ?, message = ? where id = ?",
  )
    .run(code, message, id);
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
