/**
 * Puts rows, dead letters and the mark of a source, in one transaction. A batch that the database
 * refuses is taken apart on the server: what goes in goes in, and what is refused again when all
 * others have had their turn is a dead letter.
 */
import type { Entry } from "../../domain.ts";
import { StoreRefusesError, StoreWentBackError } from "../../errors.ts";
import type { RefusedEntry } from "../../ports/dead_letters.ts";
import type { PutResult } from "../../ports/store.ts";
import { buryDeadLetters, deadAmong } from "./dead_letters.ts";
import { ISOLATE, ISOLATE_SETTINGS, PROBE } from "./isolate.ts";
import type { Session } from "./session.ts";
import { COLUMN_ARRAYS, COLUMN_NAMES, columnsOf } from "./user_data.ts";

/**
 * Says that a trigger or a rule of the table took rows away without a word, so that each has to be
 * looked for.
 */
export class RowsVanishedError extends Error {
  override readonly name = "RowsVanishedError";
}

/**
 * Inserts all rows in one statement. Has to be called in a transaction. @throws the driver's
 * DatabaseError when one is refused, or RowsVanishedError
 */
export async function putTogether(
  session: Session,
  source: string,
  entries: readonly Entry[],
  confirmedSeq: number,
): Promise<PutResult> {
  const mark = await lockMark(session, source, confirmedSeq);
  const fresh = entries.filter(({ seq }) => seq > mark);
  if (fresh.length > 0) {
    const { rowCount } = await session.query(
      `insert into user_data (${COLUMN_NAMES}) select * from unnest(${COLUMN_ARRAYS.join(", ")})`,
      columnsOf(fresh),
    );
    if (rowCount !== fresh.length) {
      throw new RowsVanishedError(`${rowCount} of ${fresh.length} rows were inserted`);
    }
    await moveMark(session, source, fresh.at(-1)!.seq);
  }
  // Part of the batch was here before: who sent it may not have heard what became of it.
  const dead = fresh.length === entries.length ? [] : await deadOf(session, source, entries);
  return { rows: fresh.length, dead };
}

/**
 * Tries each row on its own, where together they were refused. Has a transaction of its own.
 * @param neighbours rows that went in a moment ago
 * @throws StoreRefusesError when the table takes no row at all; the driver's DatabaseError for what
 *   may pass
 */
export async function putOneByOne(
  session: Session,
  source: string,
  entries: readonly Entry[],
  confirmedSeq: number,
  neighbours: readonly Entry[],
): Promise<PutResult> {
  // A deferred constraint would speak up at the end only, and then against all of them.
  await session.query("set constraints all immediate");
  const mark = await lockMark(session, source, confirmedSeq);
  const fresh = entries.filter(({ seq }) => seq > mark);
  let refused = await insertWhatGoesIn(session, fresh);
  if (fresh.length > 0 && refused.length === fresh.length) {
    await refuseWhereTableIsAtFault(session, refused, neighbours);
    // Others go in, so these are at fault; unless somebody mended the table just now.
    refused = await insertWhatGoesIn(session, fresh);
  }
  await buryDeadLetters(session, source, fresh, refused);
  if (fresh.length > 0) await moveMark(session, source, fresh.at(-1)!.seq);
  return { rows: fresh.length - refused.length, dead: await deadOf(session, source, entries) };
}

/**
 * Reads the mark and locks it until the end of the transaction, so that a repeat waits for a first
 * try and finds everything below it.
 */
async function lockMark(session: Session, source: string, confirmedSeq: number): Promise<number> {
  // The journal forgets what was committed, so the commit has to be on disk; a stronger setting is
  // kept.
  const { rows: [row] } = await session.query<{ seq: string }>(
    `select seq, set_config('synchronous_commit', case current_setting('synchronous_commit')
       when 'off' then 'on' else current_setting('synchronous_commit') end, true)
     from dsproxy_marks where source = $1 for update`,
    [source],
  );
  const mark = row === undefined ? 0 : Number(row.seq);
  if (row === undefined || mark < confirmedSeq) {
    throw new StoreWentBackError(
      `The mark of ${source} is ${row && mark}, though ${confirmedSeq} had been confirmed`,
    );
  }
  return mark;
}

async function moveMark(session: Session, source: string, seq: number): Promise<void> {
  await session.query("update dsproxy_marks set seq = $1, updated_at = now() where source = $2", [
    seq,
    source,
  ]);
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
