/**
 * Deletes old rows that newer ones hide, in SQLite; it runs in the worker (worker.ts). Nobody else
 * writes while its transaction lasts.
 */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { WriteId } from "../../domain.ts";
import type { Retired } from "../../ports/retention.ts";
import { noteGone } from "./gone.ts";
import { refusalOf, Vanished } from "./refusals.ts";
import { NEWEST_FIRST } from "./user_data.ts";

/** A call looks at so many users at most, most of whom may have nothing to delete. */
const USERS_MAX = 500;

const VERSION = "ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq";

/** It has the values of {@link VERSION}, integers as bigints: those of others may be large. */
type Version = readonly SQLInputValue[];

/** Of the user `userId` the rows below this version are still to be looked at, or all of them. */
interface Position {
  readonly userId: string;
  readonly below?: Version;
}

interface Found extends WriteId {
  readonly rowid: bigint;
  readonly version: Version;
}

/** It has to be called in a transaction. */
export function retire(
  db: DatabaseSync,
  olderThanTs: number,
  limit: number,
  from?: string,
): Retired {
  const start: Position | undefined = from === undefined ? undefined : readPosition(from);
  const done = { rows: 0, refused: 0 };
  let looked = 0;
  let user = firstUser(db, start?.userId ?? "");
  for (; user !== undefined; user = nextUser(db, user)) {
    const { userId } = user;
    if (++looked > USERS_MAX) return { ...done, next: writePosition({ userId }) };
    const below = userId === start?.userId ? start.below : undefined;
    const room = limit - done.rows - done.refused;
    const found = hiddenOf(db, user, olderThanTs, room, below);
    const { deleted, refused } = remove(db, found);
    done.rows += deleted.length;
    done.refused += refused;
    if (found.length === room) {
      const next = behind(userId, found.at(-1)!, deleted.length > 0);
      return { ...done, next: writePosition(next) };
    }
  }
  return done;
}

/** Rows that have all columns alike are at one position: some of them may be left. */
function behind(userId: string, { version }: Found, isProgress: boolean): Position {
  const [ts, acceptedMs, run, seq] = version as [...Version, SQLInputValue];
  const below = [ts!, acceptedMs!, run!];
  return { userId, below: [...below, isProgress && typeof seq === "bigint" ? seq + 1n : seq!] };
}

function writePosition(position: Position): string {
  return JSON.stringify(
    position,
    (_, value) => typeof value === "bigint" ? { integer: String(value) } : value,
  );
}

function readPosition(text: string): Position {
  return JSON.parse(
    text,
    (_, value) => typeof value?.integer === "string" ? BigInt(value.integer) : value,
  );
}

/**
 * It is a user by the newest of its rows, which nothing hides: bytes that are no UTF-8 are read as
 * another text than they are, so that nobody can ask for them by what was read.
 */
interface User {
  readonly userId: string;
  readonly newest: bigint;
}

const USER = "(select user_id from user_data where rowid = ?)";

const firstUser = (db: DatabaseSync, from: string) => userWhere(db, "user_id >= ?", from);

const nextUser = (db: DatabaseSync, { newest }: User) => userWhere(db, `user_id > ${USER}`, newest);

/** Whatever is no text, and so no user of anybody, comes before or behind all texts. */
function userWhere(db: DatabaseSync, where: string, from: SQLInputValue): User | undefined {
  const row = prepare(
    db,
    `select user_id, rowid as place from user_data where ${where} and user_id < x''
     order by user_id, ${NEWEST_FIRST} limit 1`,
  ).get(from);
  return row && { userId: String(row.user_id), newest: row.place as bigint };
}

/** A row without a ts has no age, and is never found. */
function hiddenOf(
  db: DatabaseSync,
  { newest }: User,
  olderThanTs: number,
  limit: number,
  below: Position["below"],
): Found[] {
  const kept = prepare(
    db,
    `select ${VERSION} from user_data where user_id = ${USER} and value is not null
     order by ${NEWEST_FIRST} limit 1`,
  ).get(newest);
  if (kept === undefined || kept.ts === null) return [];
  const from = below ?? [];
  return prepare(
    db,
    `select rowid as place, ${VERSION} from user_data where user_id = ${USER} and ts < ?
       and (${VERSION}) < (?, ?, ?, ?)
       ${from.length > 0 ? `and (${VERSION}) < (?, ?, ?, ?)` : ""}
     order by ${NEWEST_FIRST} limit ?`,
  ).all(newest, olderThanTs, ...versionOf(kept), ...from, limit).map((row) => ({
    rowid: row.place as bigint,
    version: versionOf(row),
    run: String(row.dsproxy_instance),
    seq: Number(row.dsproxy_seq),
  }));
}

function prepare(db: DatabaseSync, text: string) {
  const statement = db.prepare(text);
  statement.setReadBigInts(true);
  return statement;
}

function versionOf(row: Record<string, SQLInputValue>): Version {
  return [row.ts, row.dsproxy_accepted_ms, row.dsproxy_instance, row.dsproxy_seq] as Version;
}

/** A row that a trigger keeps is refused: it stays, and its neighbours go. */
function remove(
  db: DatabaseSync,
  found: readonly Found[],
): { readonly deleted: readonly WriteId[]; readonly refused: number } {
  const statement = db.prepare("delete from user_data where rowid = ?");
  const deleted = found.filter(({ rowid }) =>
    refusalOf(() => {
      if (statement.run(rowid).changes === 0) throw new Vanished();
    }) === undefined
  );
  noteGone(db, "retired", deleted);
  return { deleted, refused: found.length - deleted.length };
}
