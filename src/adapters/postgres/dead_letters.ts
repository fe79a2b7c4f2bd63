/** Keeps the dead letters' table in PostgreSQL. */
import { type Entry, writeId } from "../../domain.ts";
import { RejectedRowError } from "../../errors.ts";
import {
  type DeadLetter,
  type DeadLetters,
  type LetterFilter,
  type LetterSurvey,
  type Reason,
  REASON_LETTERS_MAX,
  REASONS_MAX,
  type RefusedEntry,
  type Rejection,
} from "../../ports/dead_letters.ts";
import type { Database } from "./database.ts";
import { filterCondition, filterParameters } from "./dead_letter_filter.ts";
import { noteEachGone } from "./gone.ts";
import { VANISHED } from "./isolate.ts";
import type { Session } from "./session.ts";
import { isRefusal } from "./sql_state.ts";
import { COLUMN_NAMES, entryOf, type EntryRow } from "./user_data.ts";

/**
 * There is no index for a filter, which would cost each refused row: of a million letters all are
 * read in a moment, and where values are long, in some more.
 */
const SURVEY_LIMIT_MS = 20_000;

export class PostgresDeadLetters implements DeadLetters {
  constructor(private readonly database: Database) {}

  count(): Promise<number> {
    return this.database.run(countDeadLetters);
  }

  survey(filter: LetterFilter, reasonsMax: number): Promise<LetterSurvey> {
    return this.database.longRead(
      SURVEY_LIMIT_MS,
      (session) => surveyDeadLetters(session, filter, reasonsMax),
    );
  }

  list(
    limit: number,
    after?: Pick<DeadLetter, "source" | "seq">,
    filter: LetterFilter = {},
  ): Promise<DeadLetter[]> {
    return this.database.longRead(
      SURVEY_LIMIT_MS,
      (session) => listDeadLetters(session, limit, after, filter),
    );
  }

  reasons(): Promise<readonly Reason[]> {
    return this.database.run(countReasons);
  }

  find(id: string): Promise<DeadLetter | undefined> {
    return this.database.run((session) => findDeadLetter(session, id));
  }

  discard(id: string): Promise<boolean> {
    return this.database.transaction((session) => discardDeadLetter(session, id));
  }

  replay(id: string): Promise<Entry | undefined> {
    return replayOrCount(this.database, id, 0);
  }
}

/**
 * Says that a trigger or a rule of the table took the row away without a word, which must not take
 * the dead letter along.
 */
export class RowVanishesError extends Error {
  override readonly name = "RowVanishesError";
  override readonly message = "a trigger or rule of user_data lets the row vanish";
  readonly code = VANISHED;
}

/**
 * Puts the entry of a dead letter in as a row, or counts that it was tried.
 * @param triesDone it counts as tried so often before, at least
 * @param begin is called first in each transaction
 * @throws RejectedRowError
 */
export function replayOrCount(
  database: Pick<Database, "transactionOr">,
  id: string,
  triesDone: number,
  begin: (session: Session) => Promise<void> = () => Promise.resolve(),
): Promise<Entry | undefined> {
  return database.transactionOr(
    async (session) => {
      await begin(session);
      return await replayDeadLetter(session, id);
    },
    async (error, pool) => {
      if (!isRefusal(error) && !(error instanceof RowVanishesError)) throw error;
      const { code, message } = error;
      await pool.transaction(async (session) => {
        await begin(session);
        await countAttempt(session, id, { code, message }, triesDone);
      });
      throw new RejectedRowError(code, message, { cause: error });
    },
  );
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

/** The clock is that of `failed_at`, in whole milliseconds, of which the next one has not begun. */
const SURVEY = `
with found as (select code, count(*)::float8 as n from dsproxy_dead_letters
  where ${filterCondition(2)} group by code),
clock as (select floor(extract(epoch from clock_timestamp()) * 1000)::float8 + 1 as until_ms)
select until_ms, code, n as count, sum(n) over () as total from clock left join found on true
order by n desc nulls last, code limit $1`;

async function surveyDeadLetters(
  session: Session,
  filter: LetterFilter,
  reasonsMax: number,
): Promise<LetterSurvey> {
  const { rows } = await session.query<
    { until_ms: number; code: string | null; count: number; total: number | null }
  >(SURVEY, [Math.max(1, reasonsMax), ...filterParameters(filter)]);
  const { until_ms: untilMs, total } = rows[0]!;
  const reasons = rows.flatMap(({ code, count }) => code === null ? [] : [{ code, count }]);
  return { count: total ?? 0, reasons: reasons.slice(0, reasonsMax), untilMs };
}

async function countReasons(session: Session): Promise<Reason[]> {
  const { rows } = await session.query<{ code: string; n: number }>(
    `select code, count(*)::float8 as n
     from (select code from dsproxy_dead_letters limit $1) as letters
     group by code order by n desc, code limit $2`,
    [REASON_LETTERS_MAX, REASONS_MAX],
  );
  return rows.map(({ code, n }) => ({ code, count: n }));
}

async function listDeadLetters(
  session: Session,
  limit: number,
  after: Pick<DeadLetter, "source" | "seq"> | undefined,
  filter: LetterFilter,
): Promise<DeadLetter[]> {
  const { source, seq } = after ?? { source: "", seq: 0 };
  const { rows } = await session.query<Row>(
    `select ${COLUMNS} from dsproxy_dead_letters
     where (source, seq) > ($1, $2) and ${filterCondition(4)} order by source, seq limit $3`,
    [source, seq, limit, ...filterParameters(filter)],
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

/** Whatever is counted for each source changes here, in the transaction that deletes it. */
async function discardDeadLetter(session: Session, id: string): Promise<boolean> {
  const { rows } = await session.query<{ run: string; seq: string }>(
    "delete from dsproxy_dead_letters where id = $1 returning instance as run, seq",
    [id],
  );
  await noteEachGone(
    session,
    "discarded",
    rows.map(({ run, seq }) => ({ run, seq: Number(seq) })),
  );
  return rows.length > 0;
}

/**
 * Puts the entry of a dead letter in as a row. The dead letters deleted are locked until the end:
 * of two replays at once, the second finds nothing. It has to be called in a transaction, in which
 * whatever is counted for each source changes, too.
 */
async function replayDeadLetter(session: Session, id: string): Promise<Entry | undefined> {
  const { rows: [row] } = await session.query<EntryRow & { inserted: number }>(
    `with letter as (delete from dsproxy_dead_letters where id = $1 returning *),
     stored as (insert into user_data (${COLUMN_NAMES})
       select user_id, value, ts, accepted_ms, instance, seq from letter returning 1)
     select user_id, value, ts, accepted_ms, instance, seq,
       (select count(*)::int from stored) as inserted from letter`,
    [id],
  );
  if (row === undefined) return undefined;
  if (row.inserted === 0) await refuseVanished(session, row);
  return entryOf(row);
}

/** It may have been put into another table that is read with this one. */
async function refuseVanished(session: Session, { user_id, instance, seq }: EntryRow) {
  const { rows } = await session.query(
    "select from user_data where user_id = $1 and dsproxy_instance = $2 and dsproxy_seq = $3",
    [user_id, instance, seq],
  );
  if (rows.length === 0) throw new RowVanishesError();
}

async function countAttempt(
  session: Session,
  id: string,
  { code, message }: Rejection,
  triesDone: number,
): Promise<void> {
  await session.query(
    `update dsproxy_dead_letters
     set attempts = greatest(attempts, $4::int) + 1, code = $2, message = $3 where id = $1`,
    [id, code, message, triesDone],
  );
}

function letterOf(row: Row): DeadLetter {
  const { source, code, message, attempts, failed_at_ms } = row;
  return { ...entryOf(row), source, code, message, failedAtMs: Math.round(failed_at_ms), attempts };
}
