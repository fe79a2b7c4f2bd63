import assert from "node:assert/strict";
import { ensureIndex } from "../../../src/adapters/postgres/latest_index.ts";
import { ensureTables } from "../../../src/adapters/postgres/schema.ts";
import { planOfLatest } from "../../support/latest_plan.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { connectionsTo } from "../../support/postgres_connections.ts";

const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

const BY_TIME_AND_USER = `
  create table user_data (user_id text, value text, ts bigint) partition by range (ts);
  create table old partition of user_data for values from (minvalue) to (5000);
  create table recent partition of user_data for values from (5000) to (maxvalue) partition by hash
    (user_id);
  create table recent_0 partition of recent for values with (modulus 2, remainder 0);
  create table recent_1 partition of recent for values with (modulus 2, remainder 1);
  insert into user_data select 'u' || i % 100, 'v' || i, i from generate_series(1, 10000) i`;

/** @returns the statements that were run */
async function migrate(url: string): Promise<string[]> {
  const statements: string[] = [];
  const connections = connectionsTo(url, {}, (text) => statements.push(text));
  await ensureTables(connections);
  await ensureIndex(connections, { pollMs: 50 });
  return statements;
}

async function indexes(url: string): Promise<string[]> {
  const rows = await execute(
    url,
    `select x.indrelid::regclass || case when x.indisvalid then '' else ' invalid' end || case when
      x.indpred is null then '' else ' partial' end as name
    from pg_index x join pg_class c on c.oid = x.indexrelid where pg_get_indexdef(c.oid) like
      '%dsproxy_seq DESC%' order by 1`,
  );
  return rows.map(({ name }) => name);
}

Deno.test("partitions are indexed one after the other, at any depth, without locking one", () =>
  withDatabase(async (url) => {
    await execute(url, BY_TIME_AND_USER);
    const statements = await migrate(url);
    assert.deepEqual(await indexes(url), ["old", "recent", "recent_0", "recent_1", "user_data"]);
    assert.equal(
      statements.filter((text) => text.startsWith("create index concurrently")).length,
      3,
    );
    const plan = await planOfLatest(url);
    assert.match(plan, /Index/);
    assert.doesNotMatch(plan, /Seq Scan/);
    assert.equal((await migrate(url)).length, 2, "the next start finds it complete");
  }));

Deno.test("a partition that is added later has the index too", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `create table user_data (user_id text, value text, ts bigint) partition by range (ts);
      create table first partition of user_data for values from (0) to (100)`,
    );
    await migrate(url);
    await execute(url, "create table second partition of user_data for values from (100) to (200)");
    assert.deepEqual(await indexes(url), ["first", "second", "user_data"]);
    assert.equal((await migrate(url)).length, 2);
  }));

Deno.test("a user_id too long for an index in one partition makes the index partial in all", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${BY_TIME_AND_USER}; insert into user_data select string_agg(md5(i::text), ''), 'long', ` +
        "9000 from generate_series(1, 300) i",
    );
    await migrate(url);
    const expected = ["old", "recent", "recent_0", "recent_1", "user_data"].map((name) =>
      `${name} partial`
    );
    assert.deepEqual(await indexes(url), expected);
    assert.doesNotMatch(await planOfLatest(url, "and octet_length(user_id) <= 1024"), /Seq Scan/);
    assert.equal((await migrate(url)).length, 2);
  }));

Deno.test("tables that inherit from user_data are indexed too, as reads find their rows", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `create table user_data (user_id text, value text, ts bigint); create table archive ()
        inherits (user_data);
      insert into archive select 'u' || i % 100, 'v' || i, i from generate_series(1, 1000) i`,
    );
    await migrate(url);
    assert.deepEqual(await indexes(url), ["archive", "user_data"]);
  }));
