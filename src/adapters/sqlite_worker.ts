/// <reference lib="deno.worker" />
/** The embedded database in a thread of its own, as each of its calls blocks the thread it runs on. */
import { DatabaseSync } from "node:sqlite";
import type { Entry } from "../domain.ts";
import { reasonOf } from "../errors.ts";
import type { Rejection } from "../ports.ts";
import {
  buryDeadLetter,
  countAttempt,
  countDeadLetters,
  createDeadLetters,
  discardDeadLetter,
  findDeadLetter,
  type LetterKey,
  listDeadLetters,
  replayDeadLetter,
} from "./sqlite_dead_letters.ts";

export type Request =
  | { readonly id: number; readonly call: "start"; readonly path: string }
  | { readonly id: number; readonly call: "ping" | "stop" }
  | { readonly id: number; readonly call: "open"; readonly source: string }
  | { readonly id: number; readonly call: "put"; readonly source: string; readonly entries: readonly Entry[] }
  | {
    readonly id: number;
    readonly call: "bury";
    readonly source: string;
    readonly entry: Entry;
    readonly reason: Rejection;
  }
  | { readonly id: number; readonly call: "count" }
  | { readonly id: number; readonly call: "list"; readonly limit: number; readonly after: LetterKey | undefined }
  | { readonly id: number; readonly call: "find" | "replay" | "discard"; readonly writeId: string }
  | { readonly id: number; readonly call: "latest"; readonly userId: string };

export type Reply =
  | { readonly id: number; readonly result: unknown }
  | {
    readonly id: number;
    readonly error: string;
    /** SQLite's result code where a row was refused. */
    readonly rejected?: string;
  };

let db: DatabaseSync;

const COLUMNS = `user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq`;
const OWN_COLUMNS = [
  ["dsproxy_accepted_ms", "integer not null default 0"],
  ["dsproxy_instance", "text not null default ''"],
  ["dsproxy_seq", "integer not null default 0"],
] as const;

function start(path: string): void {
  db = new DatabaseSync(path);
  // FULL: a commit is on disk before it is answered, because the journal forgets what the store has.
  db.exec("pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = full");
  transaction(() => {
    db.exec("create table if not exists user_data (user_id text, value text, ts bigint)");
    const present = new Set(
      db.prepare("select name from pragma_table_info('user_data')").all().map(({ name }) => name),
    );
    for (const [name, type] of OWN_COLUMNS) {
      if (!present.has(name)) db.exec(`alter table user_data add column ${name} ${type}`);
    }
    db.exec(`create index if not exists dsproxy_user_data_latest on user_data
      (user_id, ts desc, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc)`);
    db.exec("create table if not exists dsproxy_marks (source text primary key, seq integer not null) without rowid");
    createDeadLetters(db);
  });
}

function open(source: string): number {
  db.prepare("insert into dsproxy_marks (source, seq) values (?, 0) on conflict do nothing").run(source);
  return markOf(source);
}

function markOf(source: string): number {
  const row = db.prepare("select seq from dsproxy_marks where source = ?").get(source);
  if (row === undefined) throw new Error(`The mark of ${source} is gone: was the database replaced?`);
  return Number(row.seq);
}

function put(source: string, entries: readonly Entry[]): number {
  return transaction(() => {
    const mark = markOf(source);
    const insert = db.prepare(`insert into user_data (${COLUMNS}) values (?, ?, ?, ?, ?, ?)`);
    let rows = 0;
    let last = mark;
    for (const { userId, value, ts, acceptedMs, instance, seq } of entries) {
      if (seq <= mark) continue;
      insert.run(userId, value, ts, acceptedMs, instance, seq);
      rows++;
      last = Math.max(last, seq);
    }
    db.prepare("update dsproxy_marks set seq = ? where source = ?").run(last, source);
    return rows;
  });
}

function bury(source: string, entry: Entry, reason: Rejection): void {
  transaction(() => {
    if (markOf(source) >= entry.seq) return;
    buryDeadLetter(db, source, entry, reason);
    db.prepare("update dsproxy_marks set seq = ? where source = ?").run(entry.seq, source);
  });
}

function replay(id: string): string | undefined {
  try {
    return transaction(() => replayDeadLetter(db, id));
  } catch (error) {
    const { rejected } = rejectionOf(error);
    if (rejected !== undefined) countAttempt(db, id, { code: rejected, message: reasonOf(error) });
    throw error;
  }
}

function latest(userId: string): Entry | undefined {
  const row = db.prepare(`select ${COLUMNS} from user_data where user_id = ? and value is not null
    order by ts desc, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc limit 1`).get(userId);
  if (row === undefined) return undefined;
  return {
    userId,
    value: String(row.value),
    ts: Number(row.ts ?? 0),
    acceptedMs: Number(row.dsproxy_accepted_ms),
    instance: String(row.dsproxy_instance),
    seq: Number(row.dsproxy_seq),
  };
}

function transaction<T>(work: () => T): T {
  db.exec("begin immediate");
  try {
    const result = work();
    db.exec("commit");
    return result;
  } catch (error) {
    rollBack();
    throw error;
  }
}

function rollBack(): void {
  try {
    db.exec("rollback");
  } catch {
    // After some failures, a full disk among them, SQLite has rolled back by itself. The first error is the one to report.
  }
}

function answer(request: Request): unknown {
  switch (request.call) {
    case "start":
      return start(request.path);
    case "open":
      return open(request.source);
    case "put":
      return put(request.source, request.entries);
    case "bury":
      return bury(request.source, request.entry, request.reason);
    case "count":
      return countDeadLetters(db);
    case "list":
      return listDeadLetters(db, request.limit, request.after);
    case "find":
      return findDeadLetter(db, request.writeId);
    case "discard":
      return discardDeadLetter(db, request.writeId);
    case "replay":
      return replay(request.writeId);
    case "latest":
      return latest(request.userId);
    case "ping":
      return db.exec("select 1");
    case "stop":
      return db.close();
  }
}

/** TOOBIG, CONSTRAINT, MISMATCH: the row is at fault. All others may pass. */
const ROW_ERRORS = new Set([18, 19, 20]);

function rejectionOf(error: unknown): { rejected?: string } {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" && ROW_ERRORS.has(code & 0xff) ? { rejected: `SQLITE_${code}` } : {};
}

self.onmessage = ({ data: request }: MessageEvent<Request>) => {
  let reply: Reply;
  try {
    reply = { id: request.id, result: answer(request) };
  } catch (error) {
    reply = { id: request.id, error: reasonOf(error), ...rejectionOf(error) };
  }
  self.postMessage(reply);
};
