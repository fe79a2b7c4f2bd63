import assert from "node:assert/strict";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { planOfLatest } from "../../support/latest_plan.ts";
import { entry } from "../../support/fakes.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { indexed, withStore } from "../../support/postgres_store.ts";
import { runVariable } from "../../support/services.ts";

const SOURCE = "instance0001/run1";

const ORIGINAL = "create table user_data (user_id text, value text, ts bigint)";
const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

Deno.test("a table of the original is extended in place: every row is still there, and read", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; insert into user_data select 'u' || i % 100, 'v' || i, i from generate_series(1,
        10000) i;
      insert into user_data values (null, null, null), ('null-ts', 'x', null)`,
    );
    await withStore(url, async (store) => {
      assert.equal(await store.open(SOURCE), 0);
      assert.equal((await store.latest("u7"))?.value, "v9907");
      await store.put(SOURCE, [entry(1, { userId: "u7", ts: 20_000, value: "new" })], 0);
      assert.equal((await store.latest("u7"))?.value, "new");
    });
    const [count] = await execute(url, "select count(*)::int as n from user_data");
    assert.equal(count!.n, 10_003);
    await execute(url, "insert into user_data(user_id, value, ts) values ('plain', 'insert', 1)");
  }));

Deno.test("many instances can start on an old table at the same time", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; insert into user_data select 'u' || i, 'v', i from generate_series(1, 20000) i`,
    );
    const stores = Array.from({ length: 5 }, () => createPostgresStore(postgresOptions(url)).store);
    assert.deepEqual(await Promise.all(stores.map((store, i) => store.open(`source/${i}`))), [
      0,
      0,
      0,
      0,
      0,
    ]);
    await Promise.all(stores.map((store) => store.close()));
  }));

Deno.test("a start on a complete schema changes nothing and needs no right to create", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => void await store.open(SOURCE));
    const role = `reader_${crypto.randomUUID().slice(0, 8)}`;
    await execute(
      url,
      `create role ${role} login password 'pw'; revoke create on schema public from public;
      grant select, insert on user_data to ${role}; grant select, insert, update on dsproxy_marks to
        ${role};
      grant select on dsproxy_dead_letters, dsproxy_store to ${role}`,
    );
    try {
      const { store: limited } = createPostgresStore(
        postgresOptions(url, { user: role, password: () => "pw" }),
      );
      await limited.open("limited/1");
      assert.equal((await limited.put("limited/1", [entry(1)], 0)).rows, 1);
      await limited.close();
    } finally {
      await execute(url, `drop owned by ${role}; drop role ${role}`);
    }
  }));

Deno.test("a user_id too long for an index is kept, and does not stop the migration", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; insert into user_data
      select string_agg(md5(i::text), ''), 'long', 1 from generate_series(1, 300) i; insert into
        user_data values ('u', 'v', 1)`,
    );
    await withStore(url, async (store) => {
      assert.equal((await store.latest("u"))?.value, "v");
      await indexed(url);
    });
    const [count] = await execute(url, "select count(*)::int as n from user_data");
    assert.equal(count!.n, 2);
    assert.match(
      await planOfLatest(url, "and octet_length(user_id) <= 1024"),
      /Index.*dsproxy_user_data_latest/,
    );
  }));

Deno.test("the latest entry is one look-up in the index, without a sort", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; insert into user_data select 'u' || i % 500, 'v', i from generate_series(1, ` +
        "20000) i",
    );
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await indexed(url);
    });
    await execute(url, "analyze user_data");
    const plan = await planOfLatest(url);
    assert.match(plan, /Index (Only )?Scan using dsproxy_user_data_latest/);
    assert.doesNotMatch(plan, /Sort|Seq Scan/);
  }));

Deno.test("a table that cannot be used is refused with its column and types", () =>
  withDatabase(async (url) => {
    await execute(url, "create table user_data (user_id text, value text, ts timestamptz)");
    await withStore(url, async (store) => {
      await assert.rejects(
        store.open(SOURCE),
        /user_data\.ts is of type timestamp with time zone, but bigint is needed/,
      );
    });
  }));

Deno.test("a table that is renamed away is not replaced by an empty one", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await store.put(SOURCE, [entry(1)], 0);
      await execute(url, "alter table user_data rename to away");
      for (let i = 0; i < 3; i++) await assert.rejects(store.latest("user1"), /user_data/);
      await assert.rejects(store.put(SOURCE, [entry(2)], 1), /rename it back/);
      await execute(url, "alter table away rename to user_data");
      assert.equal((await store.latest("user1"))?.seq, 1);
      assert.equal((await store.put(SOURCE, [entry(2)], 1)).rows, 1);
    });
  }));

Deno.test("tables that the search path does not find any more are not replaced by empty ones", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await store.put(SOURCE, [entry(1)], 0);
    });
    const [row] = await execute(url, "select identity from dsproxy_store");
    const expected = String(row!.identity);
    const gate = { expected, admit: () => Promise.resolve(), bind: () => Promise.resolve() };
    const { store } = createPostgresStore(postgresOptions(url, { gate }));
    try {
      await execute(url, "create schema elsewhere; alter table dsproxy_store set schema elsewhere");
      await execute(
        url,
        "alter table user_data set schema elsewhere; alter table dsproxy_marks set schema " +
          "elsewhere",
      );
      await assert.rejects(
        store.latest("user1"),
        /in the schema elsewhere, which the search_path .* does not find/,
      );
      await execute(
        url,
        "alter table elsewhere.dsproxy_store set schema public; alter table elsewhere.user_data " +
          "set schema public",
      );
      await execute(url, "alter table elsewhere.dsproxy_marks set schema public");
      assert.equal((await store.latest("user1"))?.seq, 1);
    } finally {
      await store.close();
    }
  }));

Deno.test("a database that cannot hold every record is refused by its encoding", async () => {
  const name = `latin_${crypto.randomUUID().slice(0, 8)}`;
  const admin = runVariable("TEST_DATABASE_URL");
  await execute(
    admin,
    `create database ${name} template template0 encoding latin1 lc_collate 'C' lc_ctype 'C'`,
  );
  const url = new URL(admin);
  url.pathname = `/${name}`;
  try {
    await withStore(
      url.href,
      (store) => assert.rejects(store.open(SOURCE), /encoded in LATIN1.*UTF8/),
    );
  } finally {
    await execute(admin, `drop database ${name} with (force)`);
  }
});

Deno.test("a database dropped and made anew under a running store is made ready again", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store, { identity }) => {
      await store.open(SOURCE);
      await store.put(SOURCE, [entry(1)], 0);
      const first = await identity.identify();
      await execute(
        url,
        "drop table user_data, dsproxy_marks, dsproxy_dead_letters, dsproxy_store",
      );
      await assert.rejects(store.put(SOURCE, [entry(2)], 1));
      assert.equal(await store.open(SOURCE), 0);
      assert.equal((await store.put(SOURCE, [entry(2)], 0)).rows, 1);
      assert.notEqual((await identity.identify()).id, first.id);
    });
  }));

Deno.test("synchronous_commit off is raised for the rows, as the journal forgets them", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      "do $$ begin execute format('alter database %I set synchronous_commit = off', " +
        "current_database()); end $$",
    );
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await execute(
        url,
        `create table seen (setting text);
        create function note() returns trigger language plpgsql as
          $$ begin insert into seen values (current_setting('synchronous_commit')); return new; end
            $$;
        create trigger note after insert on user_data for each row execute function note()`,
      );
      await store.put(SOURCE, [entry(1)], 0);
    });
    assert.deepEqual([...await execute(url, "select setting from seen")], [{ setting: "on" }]);
  }));

Deno.test("a look-up answers for who was asked for, whatever the column's collation", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `create collation any_case
        (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      create table user_data (user_id text collate any_case, value text, ts bigint)`,
    );
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await store.put(SOURCE, [entry(1, { userId: "Bob" })], 0);
      assert.equal((await store.latest("bob"))?.userId, "bob");
    });
  }));
