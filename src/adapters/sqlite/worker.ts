/// <reference lib="deno.worker" />
/**
 * Runs the embedded database in a thread of its own, as each of its calls blocks the thread it runs
 * on.
 */
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { type Entry, writeId } from "../../domain.ts";
import { reasonOf } from "../../errors.ts";
import type { PutResult } from "../../ports/store.ts";
import type { Identity } from "../../ports/store_identity.ts";
import { entriesOf } from "./columns.ts";
import { accept, check, strays, survey } from "./audit.ts";
import {
  countAttempt,
  countDeadLetters,
  countReasons,
  discardDeadLetter,
  dueDeadLetters,
  findDeadLetter,
  listDeadLetters,
  replayDeadLetter,
  surveyDeadLetters,
} from "./dead_letters.ts";
import { discardSome, replaySome } from "./dead_letter_sweeps.ts";
import type { Reply, Request } from "./messages.ts";
import { migrate } from "./migrations.ts";
import { kindOf, rejectionOf, TableRefuses } from "./refusals.ts";
import { retire } from "./retention.ts";
import { latest, marksOf, open, put } from "./rows.ts";

let db: DatabaseSync;
let file: { readonly path: string; readonly place: string | undefined };

/**
 * So many pages of the log, 16 MB, are brought into the file at a time: rows of many users change
 * the same pages again and again, each of which is written once then. With a quarter of it a row took
 * a third longer.
 */
const CHECKPOINT_PAGES = 4_000;
/** Another program may keep the file locked for so long, before the call fails for now. */
const BUSY_MS = 5_000;

function start(path: string): void {
  db = new DatabaseSync(path);
  file = { path, place: placeOf(path) };
  db.exec(`pragma busy_timeout = ${BUSY_MS}; pragma journal_mode = wal`);
  // A commit is on disk before it is answered, because the journal forgets what the store has.
  db.exec(`pragma synchronous = full; pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  transaction(() => {
    migrate(db);
    db.prepare(
      "insert into dsproxy_store select ?, ? where not exists (select 1 from dsproxy_store)",
    ).run(crypto.randomUUID(), newGeneration());
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

/** Returns device and inode of a file; undefined where there is none. */
function placeOf(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found && `${found.dev}/${found.ino}`;
}

/**
 * Refuses to go on with a file that was removed or exchanged: what is written into it is gone with
 * this process.
 */
function refuseDisplaced(): void {
  if (placeOf(file.path) === file.place) return;
  const message = "its file is not at its place any more: it was removed or exchanged. " +
    "Put it back, or restart the service";
  throw new TableRefuses({ code: "displaced", message });
}

function putRows(request: Extract<Request, { call: "put" }>): PutResult {
  const { source, entries, confirmedSeq, lostThroughSeq } = request;
  refuseDisplaced();
  return transaction(() => put(db, source, entriesOf(entries), confirmedSeq, lostThroughSeq));
}

/** @param triesDone it counts as tried so often before, at least */
function replay(id: string, triesDone: number): Entry | undefined {
  try {
    return transaction(() => replayDeadLetter(db, id));
  } catch (error) {
    const rejected = rejectionOf(error);
    if (rejected !== undefined) {
      countAttempt(db, id, { code: rejected, message: reasonOf(error) }, triesDone);
    }
    throw error;
  }
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
      return open(db, request.source);
    case "put":
      return putRows(request);
    case "marks":
      return marksOf(db, request.sources);
    case "identify":
      return identify();
    case "outdateCopies":
      return outdateCopies();
    case "count":
      return countDeadLetters(db);
    case "reasons":
      return countReasons(db);
    case "list":
      return listDeadLetters(db, request.limit, request.after, request.filter);
    case "surveyLetters":
      return surveyDeadLetters(db, request.filter, request.reasonsMax);
    case "replaySome":
      return transaction(() => replaySome(db, request.filter, request.limit, request.from));
    case "discardSome":
      return transaction(() => discardSome(db, request.filter, request.limit, request.from));
    case "find":
      return findDeadLetter(db, request.writeId);
    case "discard":
      return transaction(() => discardDeadLetter(db, request.writeId));
    case "replay":
      return replay(request.writeId, 0);
    case "due":
      return dueDeadLetters(db, request.agesMs, request.limit, request.from);
    case "retry":
      return replay(writeId(request.letter), request.letter.passedAges);
    case "retire":
      return transaction(() => retire(db, request.olderThanTs, request.limit, request.from));
    case "survey":
      return survey(db);
    case "check":
      return check(db, request.source, request.first, request.last);
    case "strays":
      return strays(db, request.source, request.limit);
    case "accept":
      return transaction(() => accept(db, request.source, request.gap, request.reason));
    case "latest":
      return latest(db, request.userId);
    case "ping":
      return db.exec("select 1");
    case "stop":
      return db.close();
  }
}

self.onmessage = ({ data: request }: MessageEvent<Request>) => {
  let reply: Reply;
  try {
    reply = { id: request.id, result: answer(request) };
  } catch (error) {
    reply = { id: request.id, error: reasonOf(error), ...kindOf(error, request.call) };
  }
  self.postMessage(reply);
};
