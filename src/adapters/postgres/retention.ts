/**
 * Deletes old rows that newer ones hide, in PostgreSQL. No row goes but in a statement that has the
 * row before its eyes that hides it; and that one is locked, so that nobody else deletes or changes
 * it before this is committed. A `put` only inserts, and waits for none of these locks.
 */
import { serverWords } from "../../database_words.ts";
import type { WriteId } from "../../domain.ts";
import { StoreRefusesError, StoreUnavailableError } from "../../errors.ts";
import type { Retention, Retired } from "../../ports/retention.ts";
import type { Term } from "../../ports/terms.ts";
import type { Database } from "./database.ts";
import { grantRetention, INDEX_NAME } from "./ddl.ts";
import { noteEachGone } from "./gone.ts";
import { isIndexed } from "./latest_index.ts";
import { type Hidden, including, type Place, type Position, walk } from "./retention_walk.ts";
import type { Session } from "./session.ts";
import { INSUFFICIENT_PRIVILEGE, isRefusal, sqlStateOf } from "./sql_state.ts";
import { assertTerm } from "./terms.ts";

/** The index is there for good, unless somebody drops it. */
const INDEX_CHECKED_MS = 60_000;
/** Who has one of the rows locked is not waited for longer; the batch is tried again. */
const LOCK_WAIT_MS = 2_000;
/** Where more of a batch are refused it is not about single rows. */
const REFUSED_MAX = 16;

export class PostgresRetention implements Retention {
  #indexedAtMs = -Infinity;

  constructor(private readonly database: Pick<Database, "run" | "transactionOr">) {}

  async retire(
    term: Term | undefined,
    olderThanTs: number,
    limit: number,
    from?: string,
  ): Promise<Retired> {
    if (term === undefined) throw new Error("PostgreSQL has terms, and retention needs one");
    await this.#checkIndex();
    const position = from === undefined ? undefined : JSON.parse(from) as Position;
    return await this.database.transactionOr(async (session) => {
      await assertTerm(session, term);
      return await retireBatch(session, olderThanTs, limit, position);
    }, async (error, pool) => {
      if (sqlStateOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
      throw await pool.run((session) => missingRight(session, error as Error));
    });
  }

  /** Without the index each step of the walk would read the whole table. */
  async #checkIndex(): Promise<void> {
    if (performance.now() - this.#indexedAtMs < INDEX_CHECKED_MS) return;
    if (!await this.database.run(isIndexed)) {
      throw new StoreUnavailableError(
        `Retention waits for the index ${INDEX_NAME}, without which it would read all of user_data`,
      );
    }
    this.#indexedAtMs = performance.now();
  }
}

/**
 * What a batch needs it finds by the index and by places: of a table of some megabytes the planner
 * would rather read all, once a batch. Nobody relies on a deletion: after a crash of the server the
 * rows are there again, and so are not noted as gone; so its commit waits for no disk.
 */
const SETTINGS = `select set_config('enable_seqscan', 'off', true),
  set_config('lock_timeout', '${LOCK_WAIT_MS}ms', true),
  set_config('synchronous_commit', 'off', true)`;

async function retireBatch(
  session: Session,
  olderThanTs: number,
  limit: number,
  from: Position | undefined,
): Promise<Retired> {
  await session.query(SETTINGS);
  const { hidden, last, next } = await walk(session, olderThanTs, limit, from);
  const pairs = await lockKept(session, hidden);
  const { deleted, refused } = await deleteApart(session, olderThanTs, pairs);
  await noteRetired(session, deleted);
  // Rows that have all columns alike are at one position: some of them may be left.
  const goOn = last !== undefined && deleted.length > 0 ? including(last) : next;
  return {
    rows: deleted.length,
    refused,
    ...(goOn !== undefined && { next: JSON.stringify(goOn) }),
  };
}

/** Whatever is counted for each source changes here, in the transaction that deletes the rows. */
async function noteRetired(session: Session, deleted: readonly WriteId[]): Promise<void> {
  await noteEachGone(session, "retired", deleted);
}

interface Pair {
  readonly row: Place;
  readonly kept: Place;
}

/** A row that another program is about to delete or change hides nothing for certain. */
const LOCK_KEPT = `
select tableoid::text as part, ctid::text as place from user_data
where ctid = any($2::tid[])
  and (tableoid, ctid) in (select * from unnest($1::oid[], $2::tid[]))
for share skip locked`;

/** Locks the rows that are kept, and returns what is hidden by those that were to be had. */
async function lockKept(session: Session, hidden: readonly Hidden[]): Promise<readonly Pair[]> {
  if (hidden.length === 0) return [];
  const { rows } = await session.query<Place>(LOCK_KEPT, [
    hidden.map(({ kept }) => kept.part),
    hidden.map(({ kept }) => kept.place),
  ]);
  const locked = new Set(rows.map(keyOf));
  return hidden.filter(({ kept }) => locked.has(keyOf(kept)))
    .flatMap(({ kept, rows }) => rows.map((row) => ({ row, kept })));
}

/** It trusts no place: another row may lie there by now. */
const DELETE = `
delete from user_data as old
using unnest($1::oid[], $2::tid[], $3::oid[], $4::tid[])
  as pair (part, place, kept_part, kept_place)
where old.ctid = any($2::tid[]) and old.tableoid = pair.part and old.ctid = pair.place
  and old.ts < $5
  and exists (
    select from user_data as kept
    where kept.ctid = any($4::tid[]) and kept.tableoid = pair.kept_part
      and kept.ctid = pair.kept_place
      and kept.user_id = old.user_id and kept.value is not null
      and (kept.ts, kept.dsproxy_accepted_ms, kept.dsproxy_instance, kept.dsproxy_seq) >
        (old.ts, old.dsproxy_accepted_ms, old.dsproxy_instance, old.dsproxy_seq))
returning old.dsproxy_instance as run, old.dsproxy_seq as seq`;

interface Deleted {
  readonly deleted: readonly WriteId[];
  readonly refused: number;
}

/** Halves what is refused, until only single rows are. @throws what is not about single rows */
async function deleteApart(
  session: Session,
  olderThanTs: number,
  pairs: readonly Pair[],
  refusedBefore = 0,
): Promise<Deleted> {
  if (pairs.length === 0) return { deleted: [], refused: 0 };
  await session.query("savepoint retire");
  try {
    const deleted = await deletePairs(session, olderThanTs, pairs);
    await session.query("release savepoint retire");
    return { deleted, refused: 0 };
  } catch (error) {
    if (!isRefusal(error) || sqlStateOf(error) === INSUFFICIENT_PRIVILEGE) throw error;
    if (refusedBefore >= REFUSED_MAX) throw error;
    await session.query("rollback to savepoint retire; release savepoint retire");
    if (pairs.length === 1) return { deleted: [], refused: 1 };
  }
  const middle = Math.ceil(pairs.length / 2);
  const first = await deleteApart(session, olderThanTs, pairs.slice(0, middle), refusedBefore);
  const second = await deleteApart(
    session,
    olderThanTs,
    pairs.slice(middle),
    refusedBefore + first.refused,
  );
  return {
    deleted: [...first.deleted, ...second.deleted],
    refused: first.refused + second.refused,
  };
}

async function deletePairs(
  session: Session,
  olderThanTs: number,
  pairs: readonly Pair[],
): Promise<readonly WriteId[]> {
  const { rows } = await session.query<{ run: string; seq: string }>(DELETE, [
    pairs.map(({ row }) => row.part),
    pairs.map(({ row }) => row.place),
    pairs.map(({ kept }) => kept.part),
    pairs.map(({ kept }) => kept.place),
    olderThanTs,
  ]);
  return rows.map(({ run, seq }) => ({ run, seq: Number(seq) }));
}

function keyOf({ part, place }: Place): string {
  return `${part} ${place}`;
}

async function missingRight(session: Session, cause: Error): Promise<StoreRefusesError> {
  const grant = grantRetention(...await placeOf(session));
  return new StoreRefusesError(
    INSUFFICIENT_PRIVILEGE,
    `Retention cannot delete rows: ${
      serverWords(cause)
    }. Let the table's owner or a superuser run ` +
      `this, or leave RETENTION out: ${grant};`,
    { cause },
  );
}

/** Returns what the check has to say; undefined where retention may delete, or makes the table. */
export async function whatRetentionLacks(session: Session): Promise<string | undefined> {
  const { rows: [row] } = await session.query<{ may: boolean }>(
    `select has_table_privilege(oid, 'delete') and has_any_column_privilege(oid, 'update') as may
     from pg_class where oid = to_regclass('user_data')`,
  );
  if (row === undefined || row.may) return undefined;
  const grant = grantRetention(...await placeOf(session));
  return "RETENTION will delete nothing, as the role may not. Let the table's owner run this: " +
    `${grant};`;
}

/** Returns the schema of `user_data`, and the role. */
async function placeOf(session: Session): Promise<[schema: string, role: string]> {
  const { rows: [place] } = await session.query<{ schema: string; role: string }>(
    `select quote_ident(n.nspname) as schema, quote_ident(current_user) as role
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = 'user_data'::regclass`,
  );
  return [place!.schema, place!.role];
}
