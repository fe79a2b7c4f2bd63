/** The dead letters' table in PostgreSQL. The store in postgres.ts brings connection, deadlines and error classes. */
import type { Sql, TransactionSql } from "postgres";
import { type Entry, writeId } from "../domain.ts";
import type { DeadLetter, Rejection } from "../ports.ts";

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

export async function buryDeadLetter(
  tx: TransactionSql,
  source: string,
  entry: Entry,
  reason: Rejection,
): Promise<void> {
  const { userId, value, ts, acceptedMs, instance, seq } = entry;
  await tx`
    insert into dsproxy_dead_letters (source, id, user_id, value, ts, accepted_ms, instance, seq, code, message)
    values (${source}, ${
    writeId(entry)
  }, ${userId}, ${value}, ${ts}, ${acceptedMs}, ${instance}, ${seq}, ${reason.code},
      ${reason.message})`;
}

export async function countDeadLetters(sql: Sql): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*)::float8 as n from dsproxy_dead_letters`;
  return row!.n;
}

export async function listDeadLetters(
  sql: Sql,
  limit: number,
  after?: Pick<DeadLetter, "source" | "seq">,
): Promise<DeadLetter[]> {
  const { source, seq } = after ?? { source: "", seq: 0 };
  const rows = await sql<Row[]>`
    select ${sql.unsafe(COLUMNS)} from dsproxy_dead_letters where (source, seq) > (${source}, ${seq})
    order by source, seq limit ${limit}`;
  return rows.map(letterOf);
}

export async function findDeadLetter(sql: Sql, id: string): Promise<DeadLetter | undefined> {
  const [row] = await sql<Row[]>`
    select ${sql.unsafe(COLUMNS)} from dsproxy_dead_letters where id = ${id} order by source limit 1`;
  return row && letterOf(row);
}

export async function discardDeadLetter(sql: Sql, id: string): Promise<boolean> {
  return (await sql`delete from dsproxy_dead_letters where id = ${id}`).count > 0;
}

/** The rows deleted are locked until the end: of two replays at once, the second finds nothing. */
export async function replayDeadLetter(tx: TransactionSql, id: string): Promise<string | undefined> {
  const [row] = await tx<{ user_id: string }[]>`
    with letter as (delete from dsproxy_dead_letters where id = ${id} returning *)
    insert into user_data (user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq)
    select user_id, value, ts, accepted_ms, instance, seq from letter returning user_id`;
  return row?.user_id;
}

export async function countAttempt(sql: Sql, id: string, reason: Rejection): Promise<void> {
  await sql`update dsproxy_dead_letters set attempts = attempts + 1, code = ${reason.code}, message = ${reason.message}
    where id = ${id}`;
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
