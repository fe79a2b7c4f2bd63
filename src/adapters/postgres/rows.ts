/**
 * Inserts rows in a transaction: all of them with one statement, or, where that was refused, taken
 * apart on the server, so that what goes in goes in. Marks and intervals are others' business.
 */
import { withoutValues } from "../../database_words.ts";
import type { Entry } from "../../domain.ts";
import { StoreRefusesError } from "../../errors.ts";
import type { RefusedEntry } from "../../ports/dead_letters.ts";
import type { Database } from "./database.ts";
import { ISOLATE, ISOLATE_SETTINGS, PROBE } from "./isolate.ts";
import type { Session, Transaction } from "./session.ts";
import { isLockTimeout, isRefusal } from "./sql_state.ts";
import { COLUMN_ARRAYS, COLUMN_NAMES, columnsOf, linesOf } from "./user_data.ts";

/**
 * Says that a trigger or a rule of the table took rows away without a word, so that each has to be
 * looked for.
 */
class RowsVanishedError extends Error {
  override readonly name = "RowsVanishedError";
}

/**
 * Runs a transaction that inserts rows together; where they are refused, another one in its place
 * that tries them one by one.
 */
export function inTransactionOrApart<T>(
  database: Pick<Database, "transactionOr">,
  together: (transaction: Transaction) => Promise<T>,
  oneByOne: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  return database.transactionOr(together, async (error, pool) => {
    if (isLockTimeout(error)) {
      // Twice the time is beyond doubt, whatever the two clocks make of it.
      await pool.run((session) => endStrandedCopies(session, 2 * pool.transactionLimitMs));
    }
    if (!isRefusal(error) && !(error instanceof RowsVanishedError)) throw error;
    return await pool.transaction(oneByOne);
  });
}

/**
 * Ends what of ours has waited inside a COPY for longer than `limitMs`: its client is gone without a
 * word, as it would have given up by itself. The server ends whatever else takes too long, but not a
 * COPY that waits for its data, and that one has the lock of its mark.
 */
async function endStrandedCopies(session: Session, limitMs: number): Promise<void> {
  await session.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and usename = session_user and state = 'active'
       and wait_event = 'ClientRead' and query like 'copy user_data (%'
       and xact_start < clock_timestamp() - $1::float8 * interval '1 millisecond'`,
    [limitMs],
  );
}

/**
 * Inserts all entries with one statement.
 * @param takesCopy a COPY does what an INSERT would
 * @throws the driver's DatabaseError when one is refused, or RowsVanishedError
 */
export async function insertTogether(
  transaction: Transaction,
  entries: readonly Entry[],
  takesCopy: boolean,
  onSent: () => void = () => {},
): Promise<void> {
  const rows =
    await (takesCopy ? copy(transaction, entries, onSent) : insert(transaction, entries, onSent));
  if (rows !== entries.length) {
    throw new RowsVanishedError(`${rows} of ${entries.length} rows were inserted`);
  }
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

/**
 * Tries each entry on its own, where together they were refused, and returns what is refused again
 * when all others have had their turn.
 * @param neighbours rows that went in a moment ago
 * @throws StoreRefusesError when the table takes no row at all; the driver's DatabaseError for what
 *   may pass
 */
export async function insertOneByOne(
  session: Session,
  entries: readonly Entry[],
  neighbours: readonly Entry[],
): Promise<readonly RefusedEntry[]> {
  const refused = await insertWhatGoesIn(session, entries);
  if (entries.length === 0 || refused.length < entries.length) return refused;
  await refuseWhereTableIsAtFault(session, refused, neighbours);
  // Others go in, so these are at fault; unless somebody mended the table just now.
  return await insertWhatGoesIn(session, entries);
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
      `user_data takes no row at all: ${withoutValues(first.code, first.message)} (${first.code})`,
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
