/**
 * Knows the table `user_data` in SQLite: its columns, and how an entry becomes a row and a row an
 * entry. Whatever names more than one of its columns gets them from here. It runs in the worker
 * (worker.ts).
 */
import type { DatabaseSync, StatementResultingChanges, StatementSync } from "node:sqlite";
import type { Entry } from "../../domain.ts";

/** These are the columns of the original, and those added to them: every one has a default. */
const COLUMNS = [
  { name: "user_id", type: "text", added: undefined },
  { name: "value", type: "text", added: undefined },
  { name: "ts", type: "bigint", added: undefined },
  { name: "dsproxy_accepted_ms", type: "integer", added: "integer not null default 0" },
  { name: "dsproxy_instance", type: "text", added: "text not null default ''" },
  { name: "dsproxy_seq", type: "integer", added: "integer not null default 0" },
] as const;

/** They are in the order of the columns, for an INSERT. */
export const COLUMN_NAMES = COLUMNS.map(({ name }) => name).join(", ");

/** It is the total order of a user's rows. The index has exactly these keys behind `user_id`. */
export const NEWEST_FIRST =
  "ts desc, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc";

/**
 * Makes the table, or extends one of the original in place. It has to be called in a transaction.
 */
export function ensureUserData(db: DatabaseSync): void {
  const own = COLUMNS.filter(({ added }) => added === undefined);
  const columns = own.map(({ name, type }) => `${name} ${type}`).join(", ");
  db.exec(`create table if not exists user_data (${columns})`);
  const present = new Set(
    db.prepare("select name from pragma_table_info('user_data')").all().map(({ name }) => name),
  );
  for (const { name, added } of COLUMNS) {
    if (!present.has(name)) db.exec(`alter table user_data add column ${name} ${added}`);
  }
  db.exec(`create index if not exists dsproxy_user_data_latest
    on user_data (user_id, ${NEWEST_FIRST})`);
}

/** Prepares the statement that {@link insertEntry} runs, as often as there are entries. */
export function prepareInsert(db: DatabaseSync): StatementSync {
  const places = COLUMNS.map(() => "?").join(", ");
  return db.prepare(`insert into user_data (${COLUMN_NAMES}) values (${places})`);
}

export function insertEntry(
  insert: StatementSync,
  { userId, value, ts, acceptedMs, run, seq }: Entry,
): StatementResultingChanges {
  return insert.run(userId, value, ts, acceptedMs, run, seq);
}

/**
 * Makes an entry of a row.
 * @param row with the columns of the table; `ts` may be null in a row of another program
 */
export function entryOf(row: Readonly<Record<string, unknown>>): Entry {
  return {
    userId: String(row.user_id),
    value: String(row.value),
    ts: Number(row.ts ?? 0),
    acceptedMs: Number(row.dsproxy_accepted_ms),
    run: String(row.dsproxy_instance),
    seq: Number(row.dsproxy_seq),
  };
}
