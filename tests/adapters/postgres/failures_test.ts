/** In which words the store tells what went wrong, and that a defect stays one. */
import assert from "node:assert/strict";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { StoreRefusesError, StoreUnavailableError } from "../../../src/errors.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { once, startPostgres, withDatabase } from "../../support/postgres.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { withStore } from "../../support/postgres_store.ts";

const SOURCE = "instance0001/run1";

Deno.test("a password that cannot be read may pass, and is asked for again", () =>
  withDatabase(async (url) => {
    let readable = false;
    const { password } = postgresOptions(url);
    const { store } = createPostgresStore(postgresOptions(url, {
      password: () => readable ? password() : Promise.reject(new Error("no such file")),
    }));
    try {
      await assert.rejects(store.open(SOURCE), (error) => {
        assert.ok(error instanceof StoreUnavailableError, String(error));
        assert.match(error.message, /Cannot read the password for PostgreSQL: no such file/);
        return true;
      });
      readable = true;
      assert.equal(await store.open(SOURCE), 0);
    } finally {
      await store.close();
    }
  }));

Deno.test("a conflict is a failure that may pass, with the database's code", () =>
  withDatabase((url) =>
    withStore(url, async (store) => {
      await store.open(SOURCE);
      await once(url, (sql) =>
        sql.unsafe(`create function conflict() returns trigger language plpgsql as $$
          begin raise exception 'deadlock detected' using errcode = '40P01'; end $$;
          create trigger conflict before insert on user_data
            for each row execute function conflict()`));
      await assert.rejects(
        store.put(SOURCE, [entry(1)], 0),
        (error) =>
          error instanceof StoreUnavailableError && error.code === "40P01",
      );
    })
  ));

Deno.test("a table that is gone is refused, with the database's code", () =>
  withDatabase((url) =>
    withStore(url, async (store, { deadLetters }) => {
      await store.open(SOURCE);
      await once(url, (sql) => sql.unsafe("drop table dsproxy_dead_letters"));
      await assert.rejects(
        deadLetters.count(),
        (error) => error instanceof StoreRefusesError && error.code === "42P01",
      );
      assert.equal(await deadLetters.count(), 0, "it is made anew");
    })
  ));

Deno.test("a defect of ours is no failure of the store, and nothing of it is stored", () =>
  withDatabase((url) =>
    withStore(url, async (store) => {
      await store.open(SOURCE);
      const broken = {
        ...entry(2),
        get value(): string {
          throw new TypeError("a mistake");
        },
      };
      await assert.rejects(store.put(SOURCE, [entry(1), broken], 0), TypeError);
      assert.equal(await store.open(SOURCE), 0);
      assert.equal((await store.put(SOURCE, [entry(1)], 0)).rows, 1);
    })
  ));

Deno.test("calls reject in time while the server is dead or silent, and work again", async () => {
  await using server = await startPostgres();
  const { store } = createPostgresStore(postgresOptions(server.url, { callTimeoutMs: 1_000 }));
  try {
    assert.equal(await store.open(SOURCE), 0);
    await store.put(SOURCE, [entry(1)], 0);
    await server.kill();
    await assert.rejects(store.put(SOURCE, [entry(2)], 0), StoreUnavailableError);
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
    for (const result of silent) {
      assert.ok(result.status === "rejected" && result.reason instanceof StoreUnavailableError);
    }
    await assert.rejects(store.put(SOURCE, [entry(2)], 0), StoreUnavailableError);
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
    await assert.rejects(store.open(SOURCE), StoreUnavailableError);
    await server.start();
    assert.equal(await store.open(SOURCE), 0);
  } finally {
    await store.close();
  }
});
