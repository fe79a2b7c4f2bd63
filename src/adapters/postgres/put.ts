/**
 * Puts rows, dead letters and the mark of a source, in one transaction. A batch that the database
 * refuses is taken apart on the server: what goes in goes in, and what is refused again when all
 * others have had their turn is a dead letter.
 */
import pg from "pg";
import type { Entry } from "../../domain.ts";
import { StoreRefusesError, StoreWentBackError } from "../../errors.ts";
import type { RefusedEntry } from "../../ports/dead_letters.ts";
import type { PutResult } from "../../ports/store.ts";
import { buryDeadLetters, deadAmong } from "./dead_letters.ts";
import { ISOLATE, ISOLATE_SETTINGS, PROBE } from "./isolate.ts";
import type { Session, Transaction } from "./session.ts";
import { COLUMN_ARRAYS, COLUMN_NAMES, columnsOf, linesOf } from "./user_data.ts";

/**
 * Says that a trigger or a rule of the table took rows away without a word, so that each has to be
 * looked for.
 */
export class RowsVanishedError extends Error {
  override readonly name = "RowsVanishedError";
}

/**
 * Brings all rows in with one statement. Has to be called in a transaction. @throws the driver's
 * DatabaseError when one is refused, or RowsVanishedError
 */
export async function putTogether(
  transaction: Transaction,
  source: string,
  entries: readonly Entry[],
  confirmedSeq: number,
  onSent: () => void = () => {},
): Promise<PutResult> {
  const { mark, takesCopy } = await lockMark(transaction, source, confirmedSeq);
  const fresh = freshOf(entries, mark);
  if (fresh.length > 0) {
    const rows =
      await (takesCopy ? copy(transaction, fresh, onSent) : insert(transaction, fresh, onSent));
    if (rows !== fresh.length) {
      throw new RowsVanishedError(`${rows} of ${fresh.length} rows were inserted`);
    }
    transaction.atEnd(moveMark(source, fresh.at(-1)!.seq));
  }
  // Part of the batch was here before: who sent it may not have heard what became of it.
  const dead = fresh.length === entries.length ? [] : await deadOf(transaction, source, entries);
  return { rows: fresh.length, dead };
}

/** The encoding is named, as a pooler may have made the session for somebody else. */
const COPY = `copy user_data (${COLUMN_NAMES}) from stdin with (encoding 'UTF8')`;
const INSERT = `insert into user_data (${COLUMN_NAMES}) select * from unnest(${
  COLUMN_ARRAYS.join(", ")
})`;

function copy(
  transaction: Transaction,
  entries: readonly Entry[],
  onSent: () => void,
): Promise<number> {
  return transaction.copy(COPY, withEnd(linesOf(entries), onSent));
}

/** Calls `onEnd` when the last row was taken. */
function* withEnd(rows: Iterable<string>, onEnd: () => void): Iterable<string> {
  yield* rows;
  onEnd();
}

async function insert(
  session: Session,
  entries: readonly Entry[],
  onSent: () => void,
): Promise<number> {
  const inserted = session.query(INSERT, columnsOf(entries));
  onSent();
  return (await inserted).rowCount ?? 0;
}

/** Returns the entries above the mark, which most often are all. */
function freshOf(entries: readonly Entry[], mark: number): readonly Entry[] {
  return entries[0]!.seq > mark ? entries : entries.filter(({ seq }) => seq > mark);
}

/**
 * Tries each row on its own, where together they were refused. Has a transaction of its own.
 * @param neighbours rows that went in a moment ago
 * @throws StoreRefusesError when the table takes no row at all; the driver's DatabaseError for what
 *   may pass
 */
export async function putOneByOne(
  session: Transaction,
  source: string,
  entries: readonly Entry[],
  confirmedSeq: number,
  neighbours: readonly Entry[],
): Promise<PutResult> {
  // A deferred constraint would speak up at the end only, and then against all of them.
  await session.query("set constraints all immediate");
  const { mark } = await lockMark(session, source, confirmedSeq);
  const fresh = freshOf(entries, mark);
  let refused = await insertWhatGoesIn(session, fresh);
  if (fresh.length > 0 && refused.length === fresh.length) {
    await refuseWhereTableIsAtFault(session, refused, neighbours);
    // Others go in, so these are at fault; unless somebody mended the table just now.
    refused = await insertWhatGoesIn(session, fresh);
  }
  await buryDeadLetters(session, source, fresh, refused);
  if (fresh.length > 0) session.atEnd(moveMark(source, fresh.at(-1)!.seq));
  return { rows: fresh.length - refused.length, dead: await deadOf(session, source, entries) };
}

/**
 * Ends what of ours has waited inside a COPY for longer than `limitMs`: its client is gone without a
 * word, as it would have given up by itself. The server ends whatever else takes too long, but not a
 * COPY that waits for its data, and that one has the lock of its mark.
 */
export async function endStrandedCopies(session: Session, limitMs: number): Promise<void> {
  await session.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and usename = session_user and state = 'active'
       and wait_event = 'ClientRead' and query like 'copy user_data (%'
       and xact_start < clock_timestamp() - $1::float8 * interval '1 millisecond'`,
    [limitMs],
  );
}

interface Locked {
  readonly mark: number;
  readonly takesCopy: boolean;
}

/**
 * Reads the mark and locks it until the end of the transaction, so that a repeat waits for a first
 * try and finds everything below it. It has no parameters, so as to go out with what begins the
 * transaction.
 *
 * It looks, too, whether a COPY does what an INSERT would: it passes over rules, and is refused
 * where row-level security is in force. Both may be set at any time.
 */
async function lockMark(session: Session, source: string, confirmedSeq: number): Promise<Locked> {
  // The journal forgets what was committed, so the commit has to be on disk; a stronger setting is
  // kept.
  const { rows: [row] } = await session.query<{ seq: string; takes_copy: boolean }>(
    `select seq, set_config('synchronous_commit', case current_setting('synchronous_commit')
       when 'off' then 'on' else current_setting('synchronous_commit') end, true),
       (select not (relhasrules or row_security_active(oid)) from pg_class
         where oid = 'user_data'::regclass) as takes_copy
     from dsproxy_marks where source = ${pg.escapeLiteral(source)} for update`,
  );
  const mark = row === undefined ? 0 : Number(row.seq);
  if (row === undefined || mark < confirmedSeq) {
    throw new StoreWentBackError(
      `The mark of ${source} is ${row && mark}, though ${confirmedSeq} had been confirmed`,
    );
  }
  return { mark, takesCopy: row.takes_copy };
}

/** Returns the statement that moves the mark, which is locked. */
function moveMark(source: string, seq: number): string {
  return `update dsproxy_marks set seq = ${seq}, updated_at = now()
    where source = ${pg.escapeLiteral(source)}`;
}

/**
 * Inserts what goes in. A block has no parameters, so it is given the rows, and gives back what was
 * refused, by settings that end with the transaction.
 */
async function insertWhatGoesIn(
  session: Session,
  entries: readonly Entry[],
): Promise<RefusedEntry[]> {
  if (entries.length === 0) return [];
  await session.query(
    `select ${
      COLUMN_ARRAYS.map((array, i) =>
        `set_config('dsproxy.${ISOLATE_SETTINGS[i]}', ${array}::text, true)`
      ).join(", ")
    }`,
    columnsOf(entries),
  );
  await session.query(ISOLATE);
  return await settingOf<RefusedEntry[]>(session, "dsproxy.refused");
}

/**
 * Probes the table: a row that nobody can have anything against, and copies of those that went in,
 * stand in for others of the batch.
 */
async function refuseWhereTableIsAtFault(
  session: Session,
  refused: readonly RefusedEntry[],
  neighbours: readonly Entry[],
): Promise<void> {
  const copies = neighbours.map(({ userId, value }) => ({ userId, value }));
  await session.query("select set_config('dsproxy.neighbours', $1, true)", [
    JSON.stringify(copies),
  ]);
  await session.query(PROBE);
  const probe = await settingOf<{ goesIn: boolean; codes: string[] }>(session, "dsproxy.probe");
  const first = refused[0]!;
  const alike = refused.every(({ code }) => code === first.code) &&
    probe.codes.includes(first.code);
  if (!probe.goesIn && alike) {
    throw new StoreRefusesError(
      first.code,
      `user_data takes no row at all: ${first.message} (${first.code})`,
    );
  }
}

async function settingOf<T>(session: Session, name: string): Promise<T> {
  const { rows: [row] } = await session.query<{ text: string }>(
    "select current_setting($1) as text",
    [name],
  );
  return JSON.parse(row!.text) as T;
}

function deadOf(
  session: Session,
  source: string,
  entries: readonly Entry[],
): Promise<RefusedEntry[]> {
  return deadAmong(session, source, entries[0]!.seq, entries.at(-1)!.seq);
}
