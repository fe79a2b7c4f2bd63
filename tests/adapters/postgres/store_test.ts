import assert from "node:assert/strict";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { StoreRefusesError } from "../../../src/errors.ts";
import type { Store, StorePorts } from "../../../src/ports/store.ts";
import { planOfLatest } from "../../support/latest_plan.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { createDatabase, once, startPostgres } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { runVariable } from "../../support/services.ts";

const SOURCE = "instance0001/run1";

async function withDatabase(work: (url: string) => Promise<void>): Promise<void> {
  const database = await createDatabase();
  try {
    await work(database.url);
  } finally {
    await database.drop();
  }
}

async function withStore(
  url: string,
  work: (store: Store, others: StorePorts) => Promise<void>,
): Promise<void> {
  const ports = createPostgresStore(postgresOptions(url));
  try {
    await work(ports.store, ports);
  } finally {
    await ports.store.close();
  }
}

const ORIGINAL = "create table user_data (user_id text, value text, ts bigint)";
const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

Deno.test("a table of the original is extended in place: every row is still there, and read", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; insert into user_data select 'u' || i % 100, 'v' || i, i from generate_series(1, 10000) i;
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

Deno.test("a row with a user_id too long for an index is kept, and does not stop the migration", () =>
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

/** The index is built while the store works already. */
function indexed(url: string): Promise<void> {
  return eventually("the index is there", async () => {
    const [found] = await execute(
      url,
      "select from pg_index where indexrelid = to_regclass('dsproxy_user_data_latest') and " +
        "indisvalid",
    );
    return found !== undefined;
  });
}

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

Deno.test("a constraint that speaks up at the commit refuses its row alone", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await execute(
        url,
        "alter table user_data add constraint one_row unique (user_id) deferrable initially " +
          "deferred",
      );
      const batch = [entry(1), entry(2, { userId: "user1" }), entry(3)];
      const { rows, dead } = await store.put(SOURCE, batch, 0);
      assert.deepEqual([rows, dead.map(({ seq, code }) => [seq, code])], [2, [[2, "23505"]]]);
    });
  }));

Deno.test("rows are refused one by one whatever the reason is called: row-level security, an index entry too large", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => void await store.open(SOURCE));
    const role = `limited_${crypto.randomUUID().slice(0, 8)}`;
    await execute(
      url,
      `create role ${role} login password 'pw'; grant select, insert on user_data to ${role};
      grant all on dsproxy_marks, dsproxy_dead_letters, dsproxy_store to ${role};
      create index operators_own on user_data (user_id, value);
      alter table user_data enable row level security; create policy readable on user_data for
        select using (true);
      create policy no_eve on user_data for insert with check (user_id <> 'eve')`,
    );
    const { store } = createPostgresStore(
      postgresOptions(url, { user: role, password: () => "pw" }),
    );
    try {
      await store.open("limited/1");
      const incompressible = Array.from({ length: 300 }, () => crypto.randomUUID()).join("");
      const batch = [entry(1, { userId: "eve" }), entry(2), entry(3, { value: incompressible })];
      const { rows, dead } = await store.put("limited/1", batch, 0);
      assert.deepEqual([rows, dead.map(({ seq, code }) => [seq, code])], [1, [[1, "42501"], [
        3,
        "54000",
      ]]]);
    } finally {
      await store.close();
      await execute(url, `drop owned by ${role}; drop role ${role}`);
    }
  }));

Deno.test("a database without rights to insert refuses as a whole, and nothing is dead", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => void await store.open(SOURCE));
    const role = `reader_${crypto.randomUUID().slice(0, 8)}`;
    await execute(
      url,
      `create role ${role} login password 'pw'; grant select on user_data to ${role};
      grant all on dsproxy_marks, dsproxy_dead_letters, dsproxy_store to ${role}`,
    );
    const { store, deadLetters } = createPostgresStore(
      postgresOptions(url, { user: role, password: () => "pw" }),
    );
    try {
      await store.open("limited/1");
      await assert.rejects(
        store.put("limited/1", [entry(1), entry(2)], 0),
        /takes no row at all.*permission denied/,
      );
      assert.equal(await deadLetters.count(), 0);
    } finally {
      await store.close();
      await execute(url, `drop owned by ${role}; drop role ${role}`);
    }
  }));

Deno.test("a table without a partition for now takes no row: nothing is dead, though rows of former times go in", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `create table user_data (user_id text, value text, ts bigint) partition by range (ts);
      create table past partition of user_data for values from (0) to (1000); insert into user_data
        values ('old', 'v', 1)`,
    );
    await withStore(url, async (store, { deadLetters }) => {
      await store.open(SOURCE);
      const now = Math.floor(Date.now() / 1_000);
      const batch = Array.from({ length: 100 }, (_, i) => entry(i + 1, { ts: now }));
      await assert.rejects(store.put(SOURCE, batch, 0), /takes no row at all: no partition/);
      assert.equal(await deadLetters.count(), 0);
      await execute(url, "create table rest partition of user_data default");
      assert.equal((await store.put(SOURCE, batch, 0)).rows, 100);
    });
  }));

Deno.test("a lone row is refused for itself where rows of its kind went in before, whatever the oldest one is like", () =>
  withDatabase(async (url) => {
    await execute(url, `${ORIGINAL}; insert into user_data values ('old', 'not as wanted', 1)`);
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await execute(
        url,
        "alter table user_data add constraint wanted check (value like '{%') not valid",
      );
      await store.put(SOURCE, [entry(1, { value: "{}" })], 0);
      const { dead } = await store.put(SOURCE, [entry(2, { value: "bad" })], 1);
      assert.deepEqual(dead.map(({ seq }) => seq), [2]);
    });
  }));

Deno.test("a table that is mended while its refusals are looked into loses nothing to the dead letters", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store, { deadLetters }) => {
      await store.open(SOURCE);
      // Refuses its first `calls` rows, as a table does that is mended then; counted where a
      // rollback does not reach.
      for (const calls of [150, 290, 310, 320, 405, 410]) {
        const name = `calls_${calls}`;
        await execute(
          url,
          `create sequence ${name};
          create or replace function until_mended() returns trigger language plpgsql as $$ begin
            if nextval('${name}') <= ${calls} then raise exception 'closed'; end if; return new; end
              $$;
          drop trigger if exists until_mended on user_data;
          create trigger until_mended before insert on user_data for each row execute function
            until_mended()`,
        );
        const confirmed = await store.open(SOURCE);
        const batch = Array.from({ length: 100 }, (_, i) => entry(confirmed + i + 1));
        for (;;) {
          const dead = await store.put(SOURCE, batch, confirmed).then(
            (result) => result.dead,
            (error) => {
              assert.ok(error instanceof StoreRefusesError, String(error));
            },
          );
          if (dead === undefined) continue;
          assert.deepEqual(dead, [], `mended after ${calls} rows`);
          break;
        }
      }
      assert.equal(await deadLetters.count(), 0);
    });
  }));

Deno.test("rows that a trigger puts into another table that is read with this one are stored", () =>
  withDatabase(async (url) => {
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await execute(
        url,
        `create table child () inherits (user_data);
        create function redirect() returns trigger language plpgsql as $$ begin insert into child
          values (new.*); return null; end $$;
        create trigger redirect before insert on user_data for each row execute function
          redirect()`,
      );
      const { rows, dead } = await store.put(
        SOURCE,
        Array.from({ length: 100 }, (_, i) => entry(i + 1)),
        0,
      );
      assert.deepEqual([rows, dead], [100, []]);
      assert.equal((await store.latest("user7"))?.seq, 7);
    });
  }));

Deno.test("a table that is renamed away is not replaced by an empty one: reads fail, and are right once it is back", () =>
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

Deno.test("synchronous_commit off is raised for the rows, as the journal forgets what was committed", () =>
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

Deno.test("calls reject in time while the server is dead or silent, and work again on the same store", async () => {
  await using server = await startPostgres();
  const { store } = createPostgresStore(postgresOptions(server.url, { callTimeoutMs: 1_000 }));
  try {
    assert.equal(await store.open(SOURCE), 0);
    await store.put(SOURCE, [entry(1)], 0);
    await server.kill();
    await assert.rejects(store.put(SOURCE, [entry(2)], 0));
    await server.start();
    await eventually(
      "works after a restart",
      () => store.latest("user1").then((found) => found !== undefined, () => false),
    );
    await server.pause();
    // More calls than connections: none may wait for one that never comes back.
    const silent = await Promise.allSettled(
      Array.from({ length: 10 }, () => store.latest("user1")),
    );
    assert.deepEqual(new Set(silent.map(({ status }) => status)), new Set(["rejected"]));
    await assert.rejects(store.put(SOURCE, [entry(2)], 0));
    await server.resume();
    await eventually(
      "works after the silence",
      () => store.latest("user1").then((found) => found !== undefined, () => false),
    );
    // The put into the silence may have got through after all: a repeat must not double it.
    await store.put(SOURCE, [entry(2)], 0);
    const [count] = await once(
      server.url,
      (sql) => sql`select count(*)::int as n from user_data where user_id = 'user2'`,
    );
    assert.equal(count!.n, 1);
  } finally {
    await store.close();
  }
});

Deno.test("a store that was made before the server is up works once it is", async () => {
  await using server = await startPostgres();
  await server.stop();
  const { store } = createPostgresStore(postgresOptions(server.url));
  try {
    await assert.rejects(store.open(SOURCE));
    await server.start();
    assert.equal(await store.open(SOURCE), 0);
  } finally {
    await store.close();
  }
});
