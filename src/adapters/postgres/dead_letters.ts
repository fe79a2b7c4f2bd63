/** The dead letters' table in PostgreSQL. The store next door brings connection, deadlines and error classes. */
import { type Entry, writeId } from "../../domain.ts";
import type { DeadLetter, Rejection } from "../../ports.ts";
import type { Session } from "./session.ts";

interface Row {
  readonly source: string;
  readonly user_id: string;
  readonly value: string;
  readonly ts: string;
  readonly accepted_ms: string;
  readonly instance: string;
  readonly seq: string;
  readonly code: string;
  readonly message: string;
  readonly failed_at_ms: number;
  readonly attempts: number;
}

const COLUMNS = "source, user_id, value, ts, accepted_ms, instance, seq, code, message, attempts, " +
  "extract(epoch from failed_at)::float8 * 1000 as failed_at_ms";

/** Inside a transaction that moves the mark, too. */
export async function buryDeadLetter(session: Session, source: string, entry: Entry, reason: Rejection): Promise<void> {
  const { userId, value, ts, acceptedMs, instance, seq } = entry;
  await session.query(
    `insert into dsproxy_dead_letters (source, id, user_id, value, ts, accepted_ms, instance, seq, code, message)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [source, writeId(entry), userId, value, ts, acceptedMs, instance, seq, reason.code, reason.message],
  );
}

export async function countDeadLetters(session: Session): Promise<number> {
  const { rows: [row] } = await session.query<{ n: number }>(
    "select count(*)::float8 as n from dsproxy_dead_letters",
  );
  return row!.n;
}

export async function listDeadLetters(
  session: Session,
  limit: number,
  after?: Pick<DeadLetter, "source" | "seq">,
): Promise<DeadLetter[]> {
  const { source, seq } = after ?? { source: "", seq: 0 };
  const { rows } = await session.query<Row>(
    `select ${COLUMNS} from dsproxy_dead_letters where (source, seq) > ($1, $2) order by source, seq limit $3`,
    [source, seq, limit],
  );
  return rows.map(letterOf);
}

export async function findDeadLetter(session: Session, id: string): Promise<DeadLetter | undefined> {
  const { rows: [row] } = await session.query<Row>(
    `select ${COLUMNS} from dsproxy_dead_letters where id = $1 order by source limit 1`,
    [id],
  );
  return row && letterOf(row);
}

export async function discardDeadLetter(session: Session, id: string): Promise<boolean> {
  const { rowCount } = await session.query("delete from dsproxy_dead_letters where id = $1", [id]);
  return (rowCount ?? 0) > 0;
}

/** The rows deleted are locked until the end: of two replays at once, the second finds nothing. */
export async function replayDeadLetter(session: Session, id: string): Promise<string | undefined> {
  const { rows: [row] } = await session.query<{ user_id: string }>(
    `with letter as (delete from dsproxy_dead_letters where id = $1 returning *)
    insert into user_data (user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq)
    select user_id, value, ts, accepted_ms, instance, seq from letter returning user_id`,
    [id],
  );
  return row?.user_id;
}

export async function countAttempt(session: Session, id: string, reason: Rejection): Promise<void> {
  await session.query(
    "update dsproxy_dead_letters set attempts = attempts + 1, code = $2, message = $3 where id = $1",
    [id, reason.code, reason.message],
  );
}

function letterOf(row: Row): DeadLetter {
  return {
    source: row.source,
    userId: row.user_id,
    value: row.value,
    ts: Number(row.ts),
    acceptedMs: Number(row.accepted_ms),
    instance: row.instance,
    seq: Number(row.seq),
    code: row.code,
    message: row.message,
    failedAtMs: Math.round(row.failed_at_ms),
    attempts: row.attempts,
  };
}
