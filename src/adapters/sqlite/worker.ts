/// <reference lib="deno.worker" />
/**
 * The embedded database in a thread of its own, as each of its calls blocks the thread it runs on.
 */
import { statSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Entry } from "../../domain.ts";
import { reasonOf } from "../../errors.ts";
import type { RefusedEntry, Rejection } from "../../ports/dead_letters.ts";
import type { PutResult } from "../../ports/store.ts";
import type { Identity } from "../../ports/store_identity.ts";
import {
  buryDeadLetter,
  countAttempt,
  countDeadLetters,
  createDeadLetters,
  deadAmong,
  discardDeadLetter,
  findDeadLetter,
  type LetterKey,
  listDeadLetters,
  replayDeadLetter,
} from "./dead_letters.ts";

export type Request =
  | { readonly id: number; readonly call: "start"; readonly path: string }
  | { readonly id: number; readonly call: "ping" | "stop" }
  | { readonly id: number; readonly call: "open"; readonly source: string }
  | {
    readonly id: number;
    readonly call: "put";
    readonly source: string;
    readonly entries: readonly Entry[];
    readonly confirmedSeq: number;
  }
  | { readonly id: number; readonly call: "marks"; readonly sources: readonly string[] }
  | { readonly id: number; readonly call: "identify" | "outdateCopies" | "count" }
  | {
    readonly id: number;
    readonly call: "list";
    readonly limit: number;
    readonly after: LetterKey | undefined;
  }
  | { readonly id: number; readonly call: "find" | "replay" | "discard"; readonly writeId: string }
  | { readonly id: number; readonly call: "latest"; readonly userId: string };

export type Reply = { readonly id: number; readonly result: unknown } | Failure;

export interface Failure extends FailureKind {
  readonly id: number;
  readonly error: string;
}

interface FailureKind {
  /**
   * A refusal of one row, or of all of them; a mark below what was confirmed; any other word of
   * SQLite; or an error of this program's own.
   */
  readonly kind: "rejected" | "refuses" | "went back" | "may pass" | "defect";
  /** SQLite's result code; empty where it did not speak. */
  readonly code: string;
}

let db: DatabaseSync;
let file: { readonly path: string; readonly place: string | undefined };

const COLUMNS = `user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq`;
const OWN_COLUMNS = [
  ["dsproxy_accepted_ms", "integer not null default 0"],
  ["dsproxy_instance", "text not null default ''"],
  ["dsproxy_seq", "integer not null default 0"],
] as const;

function start(path: string): void {
  db = new DatabaseSync(path);
  file = { path, place: placeOf(path) };
  // FULL: a commit is on disk before it is answered, because the journal forgets what the store
  // has.
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
    db.exec(
      "create table if not exists dsproxy_marks (source text primary key, seq integer not null) without rowid",
    );
    createDeadLetters(db);
    db.exec(
      "create table if not exists dsproxy_store (identity text not null, cache_generation text not null)",
    );
    db.prepare(
      "insert into dsproxy_store select ?, ? where not exists (select 1 from dsproxy_store)",
    )
      .run(crypto.randomUUID(), newGeneration());
  });
}

function newGeneration(): string {
  return crypto.randomUUID().slice(0, 8);
}

function identify(): Identity {
  const row = db.prepare("select identity, cache_generation from dsproxy_store").get()!;
  return { id: String(row.identity), cacheGeneration: String(row.cache_generation) };
}

function outdateCopies(): Identity {
  db.prepare("update dsproxy_store set cache_generation = ?").run(newGeneration());
  return identify();
}

/** Device and inode; undefined where there is none. */
function placeOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && `${found.dev}/${found.ino}`;
}

/** What is written into a file that was removed or exchanged is gone with this process. */
function refuseDisplaced(): void {
  if (placeOf(file.path) === file.place) return;
  const message =
    "its file is not at its place any more: it was removed or exchanged. Put it back, or restart the service";
  throw new TableRefuses({ code: "displaced", message });
}

function open(source: string): number {
  db.prepare("insert into dsproxy_marks (source, seq) values (?, 0) on conflict do nothing").run(
    source,
  );
  return markOf(source)!;
}

function markOf(source: string): number | undefined {
  const row = db.prepare("select seq from dsproxy_marks where source = ?").get(source);
  return row && Number(row.seq);
}

function marksOf(sources: readonly string[]): Map<string, number> {
  const marks = new Map<string, number>();
  for (const source of sources) {
    const mark = markOf(source);
    if (mark !== undefined) marks.set(source, mark);
  }
  return marks;
}

function put(source: string, entries: readonly Entry[], confirmedSeq: number): PutResult {
  refuseDisplaced();
  return transaction(() => {
    const mark = markOf(source);
    if (mark === undefined || mark < confirmedSeq) {
      throw new WentBack(
        `the mark of ${source} is ${mark}, though ${confirmedSeq} had been confirmed`,
      );
    }
    const fresh = entries.filter(({ seq }) => seq > mark);
    const refused = insertWhatGoesIn(fresh);
    if (fresh.length > 0 && refused.size === fresh.length) {
      refuseWhereTableIsAtFault([...refused.values()]);
    }
    for (const entry of fresh) {
      const reason = refused.get(entry.seq);
      if (reason !== undefined) buryDeadLetter(db, source, entry, reason);
    }
    db.prepare("update dsproxy_marks set seq = max(seq, ?) where source = ?").run(
      entries.at(-1)!.seq,
      source,
    );
    const dead = deadAmong(db, source, entries[0]!.seq, entries.at(-1)!.seq);
    return { rows: fresh.length - refused.size, dead };
  });
}

/** Those refused are tried once more when all others have had their turn. */
function insertWhatGoesIn(entries: readonly Entry[]): Map<number, RefusedEntry> {
  if (entries.length === 0) return new Map();
  const insert = db.prepare(`insert into user_data (${COLUMNS}) values (?, ?, ?, ?, ?, ?)`);
  const refusedOnce = entries.filter((entry) =>
    refusalOf(() => insertEntry(insert, entry)) !== undefined
  );
  const refused = new Map<number, RefusedEntry>();
  for (const entry of refusedOnce) {
    const refusal = refusalOf(() => insertEntry(insert, entry));
    if (refusal !== undefined) refused.set(entry.seq, { seq: entry.seq, ...refusal });
  }
  return refused;
}

function insertEntry(
  insert: StatementSync,
  { userId, value, ts, acceptedMs, run, seq }: Entry,
): void {
  if (insert.run(userId, value, ts, acceptedMs, run, seq).changes === 0) throw new Vanished();
}

/**
 * Why the row cannot go in; undefined when it went in. A statement that fails leaves nothing
 * behind. @throws what may pass
 */
function refusalOf(work: () => void): Rejection | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof Vanished) return { code: "SQLITE_IGNORE", message: error.message };
    const rejected = rejectionOf(error);
    if (rejected === undefined) throw error;
    return { code: rejected, message: reasonOf(error) };
  }
}

/**
 * @throws TableRefuses when a row that nobody can have anything against is refused like all others
 */
function refuseWhereTableIsAtFault(refused: readonly RefusedEntry[]): void {
  db.exec("savepoint probe");
  try {
    const insert = db.prepare(`insert into user_data (${COLUMNS}) values (?, ?, ?, ?, ?, ?)`);
    const probe = refusalOf(() =>
      insert.run(`dsproxy-probe-${crypto.randomUUID()}`, "probe", 0, 0, "", 0)
    );
    if (probe !== undefined && refused.every(({ code }) => code === probe.code)) {
      throw new TableRefuses({
        ...probe,
        message: `user_data takes no row at all: ${probe.message}`,
      });
    }
  } finally {
    db.exec("rollback to probe; release probe");
  }
}

class Vanished extends Error {
  override readonly message = "a trigger of user_data lets the row vanish";
}

class WentBack extends Error {}

class TableRefuses extends Error {
  constructor(readonly rejection: Rejection) {
    super(rejection.message);
  }
}

function replay(id: string): Entry | undefined {
  try {
    return transaction(() => replayDeadLetter(db, id));
  } catch (error) {
    const rejected = rejectionOf(error);
    if (rejected !== undefined) countAttempt(db, id, { code: rejected, message: reasonOf(error) });
    throw error;
  }
}

function latest(userId: string): Entry | undefined {
  const row = db.prepare(`select ${COLUMNS} from user_data where user_id = ? and value is not null
    order by ts desc, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc limit 1`)
    .get(userId);
  if (row === undefined) return undefined;
  return {
    userId,
    value: String(row.value),
    ts: Number(row.ts ?? 0),
    acceptedMs: Number(row.dsproxy_accepted_ms),
    run: String(row.dsproxy_instance),
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
    // After some failures, a full disk among them, SQLite has rolled back by itself. The first
    // error is the one to report.
  }
}

function answer(request: Request): unknown {
  switch (request.call) {
    case "start":
      return start(request.path);
    case "open":
      return open(request.source);
    case "put":
      return put(request.source, request.entries, request.confirmedSeq);
    case "marks":
      return marksOf(request.sources);
    case "identify":
      return identify();
    case "outdateCopies":
      return outdateCopies();
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

/**
 * ERROR (out of a trigger), TOOBIG, CONSTRAINT, MISMATCH: the row or the table is at fault. All
 * others may pass.
 */
const ROW_ERRORS = new Set([1, 18, 19, 20]);

/** Undefined when the row is not at fault. */
function rejectionOf(error: unknown): string | undefined {
  const code = resultCodeOf(error);
  return code !== undefined && ROW_ERRORS.has(code & 0xff) ? `SQLITE_${code}` : undefined;
}

/** Undefined when SQLite did not say it. */
function resultCodeOf(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" ? code : undefined;
}

function kindOf(error: unknown): FailureKind {
  if (error instanceof WentBack) return { kind: "went back", code: "" };
  if (error instanceof TableRefuses) return { kind: "refuses", code: error.rejection.code };
  const rejected = rejectionOf(error);
  if (rejected !== undefined) return { kind: "rejected", code: rejected };
  const code = resultCodeOf(error);
  return code === undefined
    ? { kind: "defect", code: "" }
    : { kind: "may pass", code: `SQLITE_${code}` };
}

self.onmessage = ({ data: request }: MessageEvent<Request>) => {
  let reply: Reply;
  try {
    reply = { id: request.id, result: answer(request) };
  } catch (error) {
    reply = { id: request.id, error: reasonOf(error), ...kindOf(error) };
  }
  self.postMessage(reply);
};
