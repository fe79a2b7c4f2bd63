/** What becomes of rows that PostgreSQL refuses, and of a table that refuses them all. */
import assert from "node:assert/strict";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { StoreRefusesError } from "../../../src/errors.ts";
import { entry } from "../../support/fakes.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { indexed, withStore } from "../../support/postgres_store.ts";

const SOURCE = "instance0001/run1";

const ORIGINAL = "create table user_data (user_id text, value text, ts bigint)";
const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

Deno.test("rows are refused one by one for row-level security, or an index entry too large", () =>
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

Deno.test("a table without a partition for now takes no row, and nothing is dead", () =>
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

Deno.test("what a trigger says of a row is kept with the row, and not in why the table takes none", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      `${ORIGINAL}; create function f() returns trigger language plpgsql as
      $$ begin raise 'no % today', new.value; end $$;
      create trigger t before insert on user_data for each row execute function f()`,
    );
    await withStore(url, async (store, { deadLetters }) => {
      await store.open(SOURCE);
      const secret = crypto.randomUUID();
      const batch = [entry(1, { value: secret }), entry(2, { value: secret })];
      await assert.rejects(store.put(SOURCE, batch, 0), (error: StoreRefusesError) => {
        assert.match(error.message, /takes no row at all: a trigger or a function.*P0001/);
        assert.ok(!error.message.includes(secret));
        return error.code === "P0001";
      });
      await execute(
        url,
        `create or replace function f() returns trigger language plpgsql as
        $$ begin if new.value <> 'good' then raise 'no % today', new.value; end if;
        return new; end $$`,
      );
      await store.put(SOURCE, [...batch, entry(3, { value: "good" })], 0);
      const [letter] = await deadLetters.list(1);
      assert.equal(letter!.message, `no ${secret} today`);
    });
  }));

Deno.test("a lone row is refused for itself where rows of its kind went in before", () =>
  withDatabase(async (url) => {
    await execute(url, `${ORIGINAL}; insert into user_data values ('old', 'not as wanted', 1)`);
    await withStore(url, async (store) => {
      await store.open(SOURCE);
      await indexed(url);
      await execute(
        url,
        "alter table user_data add constraint wanted check (value like '{%') not valid",
      );
      await store.put(SOURCE, [entry(1, { value: "{}" })], 0);
      const { dead } = await store.put(SOURCE, [entry(2, { value: "bad" })], 1);
      assert.deepEqual(dead.map(({ seq }) => seq), [2]);
    });
  }));

Deno.test("a table mended while its refusals are looked into has no dead letters", () =>
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
