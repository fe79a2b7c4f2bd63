/** What the audit says of a database that went back further than the journal reaches. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { assertClean, auditBeside, settled } from "../audit/planted.ts";
import { Dsproxy, type Environment } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";

/** So many of these fill a segment of the smallest journal several times over. */
const WRITES = 150;
const VALUE = "x".repeat(200_000);
const BACKED_UP = 10;

async function write(proxy: Dsproxy, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await proxy.accept({ user_id: `u${i}`, value: VALUE });
  await settled(proxy);
}

async function withPlace(
  work: (settings: Environment, sql: postgres.Sql) => Promise<void>,
): Promise<void> {
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-audit-" });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  const journal = { DATA_DIR: dataDir, JOURNAL_MAX_BYTES: "16MiB" };
  try {
    await work({ ...journal, DATABASE_URL: database.url, BATCH_INTERVAL: "50ms" }, sql);
  } finally {
    await sql.end();
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function restoreOlderBackup(sql: postgres.Sql): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`delete from user_data where dsproxy_seq > ${BACKED_UP}`;
    await transaction`update dsproxy_marks set seq = ${BACKED_UP}`;
  });
}

Deno.test("writes that a restored backup lacks, and the journal no longer has, are missing", () =>
  withPlace(async (settings, sql) => {
    await using proxy = await Dsproxy.start({ ...settings, JOURNAL_RETAIN: "0" });
    await write(proxy, 0, WRITES);
    await assertClean(proxy);
    await restoreOlderBackup(sql);
    await write(proxy, WRITES, WRITES + 10);
    const stored = await sql<{ seq: number }[]>`
      select dsproxy_seq::int as seq from user_data where dsproxy_seq > ${BACKED_UP} order by 1`;
    const firstSentAgain = stored[0]!.seq;
    assert.ok(firstSentAgain > BACKED_UP + 1, "the journal has dropped some of them");
    const [{ run }] = await sql<[{ run: string }]>`select source as run from dsproxy_marks`;
    const { code, named, text } = await auditBeside(proxy);
    const lost = `${run}-${BACKED_UP + 1}..${firstSentAgain - 1}`;
    assert.deepEqual([code, named], [2, [`missing ${lost}`]], text);
    await auditBeside(proxy, "accept", lost, "--reason", "the backup was older");
    await assertClean(proxy);
  }));

Deno.test("where the journal has all that a restored backup lacks nothing is missing", () =>
  withPlace(async (settings, sql) => {
    await using proxy = await Dsproxy.start({ ...settings, JOURNAL_MAX_BYTES: "256MiB" });
    await write(proxy, 0, WRITES);
    await restoreOlderBackup(sql);
    await write(proxy, WRITES, WRITES + 10);
    await assertClean(proxy);
  }));
