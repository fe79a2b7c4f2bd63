import assert from "node:assert/strict";
import { schemaScript } from "../../../src/adapters/postgres/ddl.ts";
import { ensureIndex } from "../../../src/adapters/postgres/latest_index.ts";
import { ensureTables } from "../../../src/adapters/postgres/schema.ts";
import { StoreRefusesError } from "../../../src/errors.ts";
import { planOfLatest } from "../../support/latest_plan.ts";
import { startPgBouncer } from "../../support/pgbouncer.ts";
import { withDatabase } from "../../support/postgres.ts";
import { connectionsTo } from "../../support/postgres_connections.ts";
import { withRole } from "../../support/postgres_roles.ts";
import { execute, INDEX_OPTIONS, migrate, single } from "../../support/postgres_migration.ts";

const ORIGINAL = "create table user_data (user_id text, value text, ts bigint)";
const ROWS =
  "insert into user_data select 'u' || i % 100, 'v' || i, i from generate_series(1, 10000) i";

Deno.test("a table of the original is extended in place, and others insert as before", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; ${ROWS}; insert into user_data values (null, null, null), ('null-ts', 'x', ` +
        "null)",
    );
    await migrate(url);
    assert.equal(await single(url, "select count(*)::int from user_data"), 10_002);
    await execute(url, "insert into user_data(user_id, value, ts) values ('plain', 'insert', 1)");
    const plan = await planOfLatest(url);
    assert.match(plan, /Index (Only )?Scan using dsproxy_user_data_latest/);
    assert.doesNotMatch(plan, /Sort|Seq Scan/);
  }));

Deno.test("on a complete schema two look-ups in the catalogue are all, and need no right", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await withRole(url, async (role) => {
      await execute(url, "revoke create on schema public from public");
      const statements: string[] = [];
      await migrate(url, role, (text) => statements.push(text));
      assert.deepEqual(statements.map((text) => /^\s*(select|with)\b/.test(text)), [true, true]);
    });
  }));

Deno.test("of instances that start at once one builds the index, and all have one identity", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; insert into user_data select 'u' || i, 'v', i from generate_series(1, ` +
        "100000) i",
    );
    const statements: string[] = [];
    await Promise.all(
      Array.from({ length: 6 }, () => migrate(url, {}, (text) => statements.push(text))),
    );
    assert.equal(statements.filter((text) => text.startsWith("create index")).length, 1);
    assert.equal(statements.filter((text) => text.startsWith("drop")).length, 0);
    assert.equal(await single(url, "select count(*)::int from dsproxy_store"), 1);
  }));

Deno.test("many instances can start at once where transactions are serializable", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      "do $$ begin execute format('alter database %I set default_transaction_isolation = " +
        "serializable', current_database()); end $$",
    );
    await Promise.all(Array.from({ length: 6 }, () => migrate(url)));
    assert.equal(await single(url, "select count(*)::int from dsproxy_store"), 1);
  }));

Deno.test("a database keeps its identity, and has no second one", () =>
  withDatabase(async (url) => {
    await migrate(url);
    const identity = await single<string>(url, "select identity from dsproxy_store");
    assert.match(identity, /^[0-9a-f-]{36}$/);
    await execute(url, "drop table dsproxy_marks");
    await migrate(url);
    assert.equal(await single(url, "select identity from dsproxy_store"), identity);
    await assert.rejects(execute(url, "insert into dsproxy_store (identity) values ('another')"), {
      code: "23505",
    });
  }));

Deno.test("a row with a user_id too long for an index is kept, and the index does without it", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; insert into user_data select string_agg(md5(i::text), ''), 'long', 1 from
        generate_series(1, 300) i;
      insert into user_data values ('u', 'v', 1)`,
    );
    await migrate(url);
    assert.equal(await single(url, "select count(*)::int from user_data"), 2);
    assert.match(
      await planOfLatest(url, "and octet_length(user_id) <= 1024"),
      /Index.*dsproxy_user_data_latest/,
    );
    assert.equal(await single(url, "select count(*)::int from pg_index where not indisvalid"), 0);
    const statements: string[] = [];
    await migrate(url, {}, (text) => statements.push(text));
    assert.equal(statements.length, 2, "the next start finds it complete");
  }));

Deno.test("user_data is used in whichever schema it is, and what is added stands beside it", () =>
  withDatabase(async (url) => {
    await withRole(url, async (role) => {
      // As $user is the first schema of the usual search path, a new table would be created there,
      // and hide the old one.
      await execute(
        url,
        `create schema ${role.user} authorization ${role.user}; grant all on schema public to
          ${role.user};
        ${ORIGINAL}; alter table user_data owner to ${role.user}; ${ROWS}`,
      );
      await migrate(url, role);
      const tables =
        "select n.nspname || '.' || relname as name from pg_class c join pg_namespace n on n.oid " +
        "= relnamespace " +
        "where relname ~ '^(user_data|dsproxy)' and relkind = 'r' order by 1";
      const names = (await execute(url, tables)).map(({ name }) => name);
      assert.deepEqual(names, [
        "public.dsproxy_audit_notes",
        "public.dsproxy_dead_letters",
        "public.dsproxy_gone",
        "public.dsproxy_leader",
        "public.dsproxy_lease",
        "public.dsproxy_marks",
        "public.dsproxy_migrations",
        "public.dsproxy_store",
        "public.user_data",
      ]);
      assert.match(await planOfLatest(url), /dsproxy_user_data_latest/);
    });
  }));

Deno.test("another deployment's tables in a later schema are not taken for one's own", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await withRole(url, async (role) => {
      await execute(
        url,
        `create schema ${role.user} authorization ${role.user}; create table ${role.user}.user_data
          (user_id text, value text, ts bigint);
        alter table ${role.user}.user_data owner to ${role.user}; grant select on all tables in
          schema public to ${role.user}`,
      );
      await migrate(url, role);
      const identities = `select count(distinct identity)::int from
        (select identity from public.dsproxy_store union all select identity from
          ${role.user}.dsproxy_store) s`;
      assert.equal(await single(url, identities), 2);
    });
  }));

const UNUSABLE: Readonly<Record<string, readonly [string, RegExp]>> = {
  "a view": [
    "create view user_data as select 'u'::text as user_id, 'v'::text as value, 1::bigint as ts",
    /public\.user_data is a view/,
  ],
  "a materialized view": [
    "create materialized view user_data as select 'u'::text as user_id, 'v'::text as value, " +
    "1::bigint as ts",
    /public\.user_data is a materialized view/,
  ],
  "a foreign table": [
    `create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;
    create foreign table user_data (user_id text, value text, ts bigint) server nowhere`,
    /public\.user_data is a foreign table/,
  ],
  "a table with another type": [
    "create table user_data (user_id text, value text, ts timestamptz)",
    /user_data\.ts is of type timestamp with time zone, but bigint is needed/,
  ],
  "a table without a column": [
    "create table user_data (user_id text, ts bigint)",
    /user_data has no column value \(text\)/,
  ],
};

for (const [what, [ddl, message]] of Object.entries(UNUSABLE)) {
  Deno.test(`${what} as user_data is refused by name, and nothing is created beside it`, () =>
    withDatabase(async (url) => {
      await execute(url, ddl);
      await assert.rejects(
        ensureTables(connectionsTo(url)),
        (error) => error instanceof StoreRefusesError && message.test(error.message),
      );
      assert.equal(await single(url, "select to_regclass('dsproxy_store')::text"), null);
    }));
}

Deno.test("a search path without a schema that exists is refused by name", () =>
  withDatabase((url) =>
    withRole(url, async (role) => {
      await execute(url, `alter role ${role.user} set search_path = 'nowhere'`);
      await assert.rejects(
        ensureTables(connectionsTo(url, role)),
        /No schema of the search path \(nowhere\)/,
      );
    })
  ));

Deno.test("a role that may not create is told by name what to run, and works once it was run", () =>
  withDatabase(async (url) => {
    await execute(url, `revoke create on schema public from public; ${ORIGINAL}; ${ROWS}`);
    await withRole(url, async (role) => {
      const refused = await refusal(ensureTables(connectionsTo(url, role)));
      assert.match(
        refused.message,
        new RegExp(`The role ${role.user} may not create tables in the schema public`),
      );
      const statements = refused.message.slice(refused.message.indexOf("create table if"));
      await execute(url, statements);
      await ensureTables(connectionsTo(url, role));
      const slow = await refusal(ensureIndex(connectionsTo(url, role), INDEX_OPTIONS));
      assert.match(
        slow.message,
        /may not index the table public\.user_data, which belongs to postgres.*: create index concurrently/,
      );
      await execute(url, slow.message.slice(slow.message.indexOf("create index")));
      await migrate(url, role);
    });
  }));

Deno.test("a role that does not own the table is told by name what its owner has to run", () =>
  withDatabase(async (url) => {
    await execute(url, `${ORIGINAL}; grant all on schema public to public`);
    await withRole(url, async (role) => {
      const refused = await refusal(ensureTables(connectionsTo(url, role)));
      assert.equal(refused.code, "42501");
      assert.match(
        refused.message,
        /may not extend the table public\.user_data, which belongs to postgres.*alter table public\.user_data/,
      );
    });
  }));

async function refusal(work: Promise<void>): Promise<StoreRefusesError> {
  const error = await work.then(() => undefined, (reason) => reason);
  assert.ok(error instanceof StoreRefusesError, `refused, not ${error}`);
  return error;
}

Deno.test("the script for a migration by hand leaves nothing to do, and can be run again", () =>
  withDatabase(async (url) => {
    await execute(url, `revoke create on schema public from public; ${ORIGINAL}; ${ROWS}`);
    await withRole(url, async (role) => {
      for (
        const statement of [
          ...schemaScript("public", role.user).split(";\n"),
          ...schemaScript("public", role.user).split(";\n"),
        ]
      ) {
        if (statement !== "") await execute(url, statement);
      }
      await migrate(url, role);
      assert.equal(await single(url, "select count(*)::int from dsproxy_store"), 1);
    });
  }));

Deno.test("a table that was user_data before keeps its index, and the new one gets its own", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await execute(url, `alter table user_data rename to user_data_2024; ${ORIGINAL}; ${ROWS}`);
    await migrate(url);
    assert.match(await planOfLatest(url), /Index.*dsproxy_user_data_latest_\d+/);
  }));

Deno.test("a migration goes through PgBouncer, and leaves nothing set there", async () => {
  await withDatabase(async (url) => {
    await execute(url, `${ORIGINAL}; ${ROWS}`);
    await using bouncer = await startPgBouncer({
      databaseUrl: url,
      poolMode: "transaction",
      poolSize: 3,
    });
    await Promise.all([migrate(bouncer.url), migrate(bouncer.url), migrate(bouncer.url)]);
    assert.match(await planOfLatest(url), /dsproxy_user_data_latest/);
    assert.equal(await single(bouncer.url, "select current_setting('lock_timeout')"), "0");
    assert.equal(
      await single(
        url,
        "select count(*)::int from pg_locks where locktype = 'advisory' and database = (select " +
          "oid from pg_database where datname = current_database())",
      ),
      0,
    );
  });
});
