/** Keeps the dead letters' table in PostgreSQL. */
import { type Entry, writeId } from "../../domain.ts";
import { RejectedRowError } from "../../errors.ts";
import type { DeadLetter, DeadLetters, RefusedEntry, Rejection } from "../../ports/dead_letters.ts";
import type { Database } from "./database.ts";
import type { Session } from "./session.ts";
import { isRefusal } from "./sql_state.ts";
import { COLUMN_NAMES, ENTRY_COLUMNS, entryOf, type EntryRow } from "./user_data.ts";

export class PostgresDeadLetters implements DeadLetters {
  constructor(private readonly database: Database) {}

  count(): Promise<number> {
    return this.database.run(countDeadLetters);
  }

  list(limit: number, after?: Pick<DeadLetter, "source" | "seq">): Promise<DeadLetter[]> {
    return this.database.run((session) => listDeadLetters(session, limit, after));
  }

  find(id: string): Promise<DeadLetter | undefined> {
    return this.database.run((session) => findDeadLetter(session, id));
  }

  discard(id: string): Promise<boolean> {
    return this.database.run((session) => discardDeadLetter(session, id));
  }

  replay(id: string): Promise<Entry | undefined> {
    return this.database.transactionOr(
      (session) => replayDeadLetter(session, id),
      async (error, pool) => {
        if (!isRefusal(error)) throw error;
        const { code, message } = error;
        await pool.run((session) => countAttempt(session, id, { code, message }));
        throw new RejectedRowError(code, message, { cause: error });
      },
    );
  }
}

interface Row extends EntryRow {
  readonly source: string;
  readonly code: string;
  readonly message: string;
  readonly failed_at_ms: number;
  readonly attempts: number;
}

const COLUMNS =
  "source, user_id, value, ts, accepted_ms, instance, seq, code, message, attempts, " +
  "extract(epoch from failed_at)::float8 * 1000 as failed_at_ms";

/**
 * Keeps the refused entries as dead letters.
 * @param entries are those that were put, with the refused ones among them
 */
export async function buryDeadLetters(
  session: Session,
  source: string,
  entries: readonly Entry[],
  refused: readonly RefusedEntry[],
): Promise<void> {
  if (refused.length === 0) return;
  const bySeq = new Map(entries.map((entry) => [entry.seq, entry]));
  const letters = refused.map(({ seq, code, message }) => ({ ...bySeq.get(seq)!, code, message }));
  await session.query(
    `insert into dsproxy_dead_letters
       (source, id, user_id, value, ts, accepted_ms, instance, seq, code, message)
     select $1::text, * from unnest($2::text[], $3::text[], $4::text[], $5::bigint[],
       $6::bigint[], $7::text[], $8::bigint[], $9::text[], $10::text[])`,
    [
      source,
      letters.map(writeId),
      letters.map(({ userId }) => userId),
      letters.map(({ value }) => value),
      letters.map(({ ts }) => ts),
      letters.map(({ acceptedMs }) => acceptedMs),
      letters.map(({ run }) => run),
      letters.map(({ seq }) => seq),
      letters.map(({ code }) => code),
      letters.map(({ message }) => message),
    ],
  );
}

/** Returns the dead letters of a source whose numbers are in this range. */
export async function deadAmong(
  session: Session,
  source: string,
  firstSeq: number,
  lastSeq: number,
): Promise<RefusedEntry[]> {
  const { rows } = await session.query<{ seq: string; code: string; message: string }>(
    `select seq, code, message from dsproxy_dead_letters
     where source = $1 and seq between $2 and $3 order by seq`,
    [source, firstSeq, lastSeq],
  );
  return rows.map(({ seq, code, message }) => ({ seq: Number(seq), code, message }));
}

async function countDeadLetters(session: Session): Promise<number> {
  const { rows: [row] } = await session.query<{ n: number }>(
    "select count(*)::float8 as n from dsproxy_dead_letters",
  );
  return row!.n;
}

async function listDeadLetters(
  session: Session,
  limit: number,
  after?: Pick<DeadLetter, "source" | "seq">,
): Promise<DeadLetter[]> {
  const { source, seq } = after ?? { source: "", seq: 0 };
  const { rows } = await session.query<Row>(
    `select ${COLUMNS} from dsproxy_dead_letters
     where (source, seq) > ($1, $2) order by source, seq limit $3`,
    [source, seq, limit],
  );
  return rows.map(letterOf);
}

async function findDeadLetter(
  session: Session,
  id: string,
): Promise<DeadLetter | undefined> {
  const { rows: [row] } = await session.query<Row>(
    `select ${COLUMNS} from dsproxy_dead_letters where id = $1 order by source limit 1`,
    [id],
  );
  return row && letterOf(row);
}

async function discardDeadLetter(session: Session, id: string): Promise<boolean> {
  return ((await session.query("delete from dsproxy_dead_letters where id = $1", [id])).rowCount ??
    0) > 0;
}

/**
 * Puts the entry of a dead letter in as a row. The dead letters deleted are locked until the end:
 * of two replays at once, the second finds nothing. It has to be called in a transaction.
 */
async function replayDeadLetter(session: Session, id: string): Promise<Entry | undefined> {
  const { rows: [row] } = await session.query<EntryRow>(
    `with letter as (delete from dsproxy_dead_letters where id = $1 returning *)
     insert into user_data (${COLUMN_NAMES})
     select user_id, value, ts, accepted_ms, instance, seq from letter
     returning ${ENTRY_COLUMNS}`,
    [id],
  );
  return row && entryOf(row);
}

async function countAttempt(
  session: Session,
  id: string,
  { code, message }: Rejection,
): Promise<void> {
  await session.query(
    `update dsproxy_dead_letters
     set attempts = attempts + 1, code = $2, message = $3 where id = $1`,
    [id, code, message],
  );
}

function letterOf(row: Row): DeadLetter {
  const { source, code, message, attempts, failed_at_ms } = row;
  return { ...entryOf(row), source, code, message, failedAtMs: Math.round(failed_at_ms), attempts };
}
