/**
 * A backlog of 52,000 rows, many or all of which the database refuses: done within a minute, and
 * told in a few lines.
 */
import assert from "node:assert/strict";
import { openJournal } from "../../src/journal/journal.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { NOBODY } from "../support/journals.ts";
import { once, withDatabase } from "../support/postgres.ts";
import { delay } from "../support/services.ts";
import { untilNotReady, untilReady } from "./surrounding.ts";

const ROWS = 52_000;
const LIMIT_MS = 60_000;
/** A line a row would be as bad as a row lost among them. */
const LINES_MAX = 40;

interface Counted {
  readonly rows: number;
  readonly dead: number;
}

/**
 * Starts the service with a full journal on a table made by `statements`; counts at the end of
 * `work`, when the log must be short.
 */
async function withBacklog(
  statements: readonly string[],
  userOf: (i: number) => string,
  work: (proxy: Dsproxy, databaseUrl: string) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-many-" });
  try {
    await withDatabase(async (databaseUrl) => {
      await execute(databaseUrl, ...statements);
      await fillJournal(`${dataDir}/journal`, userOf);
      await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, DATABASE_URL: databaseUrl });
      await work(proxy, databaseUrl);
      await proxy.stop();
      const lines = proxy.log.trimEnd().split("\n").length;
      assert.ok(
        lines <= LINES_MAX,
        `${lines} lines of log, the last of them:\n${proxy.log.slice(-2_000)}`,
      );
    });
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

/** What a run before this one accepted and could not flush. */
async function fillJournal(dir: string, userOf: (i: number) => string): Promise<void> {
  const journal = await openJournal({ dir, maxBytes: 2 ** 30, retainMs: 0, listener: NOBODY });
  const writes = Array.from(
    { length: ROWS },
    (_, i) => ({ userId: userOf(i), value: `value ${i}`, ts: 1_700_000_000 + i }),
  );
  await Promise.all(writes.map((write) => journal.push(write).durable));
  await journal.close();
}

async function execute(url: string, ...statements: readonly string[]): Promise<void> {
  await once(url, async (sql) => {
    for (const statement of statements) await sql.unsafe(statement);
  });
}

async function count(url: string): Promise<Counted> {
  const [counted] = await once(url, (sql) =>
    sql<Counted[]>`
      select (select count(*)::int from user_data) as rows, (select count(*)::int from
        dsproxy_dead_letters) as dead`);
  return counted!;
}

async function untilFlushed(proxy: Dsproxy): Promise<void> {
  await eventually(
    "the queue is empty",
    async () => await proxy.metric("dsproxy_queue_depth") === 0,
    LIMIT_MS,
  );
}

Deno.test("a primary key on user_id: of 52,000 rows each user's first is stored", () =>
  withBacklog(
    ["create table user_data (user_id text primary key, value text, ts bigint)"],
    (i) => `user${i % 1_000}`,
    async (proxy, url) => {
      await untilFlushed(proxy);
      assert.deepEqual(await count(url), { rows: 1_000, dead: ROWS - 1_000 });
    },
  ));

Deno.test("a trigger that refuses every tenth of 52,000 rows: the others are stored", () =>
  withBacklog(
    [
      "create table user_data (user_id text, value text, ts bigint)",
      `create function complain() returns trigger language plpgsql as
        $$ begin if new.user_id like '%0' then raise exception 'not this one'; end if; return
          new; end $$`,
      "create trigger complain before insert on user_data for each row execute function complain()",
    ],
    (i) => `user${i}`,
    async (proxy, url) => {
      await untilFlushed(proxy);
      assert.deepEqual(await count(url), { rows: ROWS - ROWS / 10, dead: ROWS / 10 });
    },
  ));

Deno.test("a further column not null: none of 52,000 rows is dead, nor lost later", () =>
  withBacklog(
    ["create table user_data (user_id text, value text, ts bigint, tenant text not null)"],
    (i) => `user${i}`,
    async (proxy, url) => {
      await untilNotReady(proxy, /tenant/);
      await delay(5_000);
      assert.equal((await count(url)).dead, 0);
      await execute(url, "alter table user_data drop column tenant");
      await untilReady(proxy);
      await untilFlushed(proxy);
      assert.deepEqual(await count(url), { rows: ROWS, dead: 0 });
    },
  ));
