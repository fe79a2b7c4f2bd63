import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { StoreRefusesError, StoreUnavailableError } from "../../../src/errors.ts";
import { createSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import { entry } from "../../support/fakes.ts";

const SOURCE = "instance0001/run1";

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-sqlite-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a table of the original is extended in place", () =>
  withFolder(async (folder) => {
    const path = `${folder}/old.db`;
    const old = new DatabaseSync(path);
    old.exec(
      "create table user_data (user_id text, value text, ts bigint); insert into user_data " +
        "values ('u', 'old', 7), (null, null, null)",
    );
    old.close();
    const { store } = createSqliteStore({ path });
    assert.equal(await store.open(SOURCE), 0);
    assert.equal((await store.latest("u"))?.value, "old");
    await store.put(SOURCE, [entry(1, { userId: "u", value: "new", ts: 8 })], 0);
    assert.equal((await store.latest("u"))?.value, "new");
    await store.close();
    const { store: again } = createSqliteStore({ path });
    assert.equal(await again.open(SOURCE), 1);
    await again.close();
  }));

Deno.test("a file without a record is taken over, and a table that was dropped is made anew", () =>
  withFolder(async (folder) => {
    const path = `${folder}/old.db`;
    const first = createSqliteStore({ path });
    await first.store.open(SOURCE);
    await first.store.put(SOURCE, [entry(1)], 0);
    const identity = await first.identity.identify();
    await first.store.close();
    const old = new DatabaseSync(path);
    old.exec("drop table dsproxy_migrations; drop table dsproxy_dead_letters");
    old.close();
    const again = createSqliteStore({ path });
    assert.deepEqual(await again.identity.identify(), identity);
    assert.equal(await again.deadLetters.count(), 0);
    assert.equal(await again.store.open(SOURCE), 1);
    await again.store.close();
    const found = new DatabaseSync(path);
    const versions = found.prepare("select version from dsproxy_migrations").all();
    found.close();
    assert.deepEqual(versions.map(({ version }) => version), [1, 2, 3]);
  }));

Deno.test("a table that is gone under a running store is no refusal of one row", () =>
  withFolder(async (folder) => {
    const path = `${folder}/x.db`;
    const { store, deadLetters } = createSqliteStore({ path });
    await store.open(SOURCE);
    const other = new DatabaseSync(path);
    other.exec("drop table user_data; drop table dsproxy_dead_letters");
    other.close();
    await assert.rejects(store.latest("u"), StoreRefusesError);
    await assert.rejects(deadLetters.count(), StoreRefusesError);
    await store.close();
  }));

Deno.test("a look-up answers for who was asked for, whatever the column's collation", () =>
  withFolder(async (folder) => {
    const path = `${folder}/x.db`;
    const old = new DatabaseSync(path);
    old.exec("create table user_data (user_id text collate nocase, value text, ts bigint)");
    old.close();
    const { store } = createSqliteStore({ path });
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1, { userId: "Bob" })], 0);
    assert.equal((await store.latest("bob"))?.userId, "bob");
    await store.close();
  }));

Deno.test("a file that cannot be opened is an error that names it, and is tried again", () =>
  withFolder(async (folder) => {
    const path = `${folder}/missing/x.db`;
    const { store } = createSqliteStore({ path });
    await assert.rejects(
      store.latest("u"),
      (error) => error instanceof StoreUnavailableError && error.message.includes(path),
    );
    await Deno.mkdir(`${folder}/missing`);
    assert.equal(await store.latest("u"), undefined);
    await store.close();
  }));

Deno.test("a store that was never used can be closed", () =>
  withFolder(async (folder) => {
    await createSqliteStore({ path: `${folder}/x.db` }).store.close();
  }));

Deno.test("a file that is removed or exchanged under it takes no rows, and reads go on", () =>
  withFolder(async (folder) => {
    const path = `${folder}/x.db`;
    const { store } = createSqliteStore({ path });
    await store.open(SOURCE);
    await store.put(SOURCE, [entry(1)], 0);
    await Deno.rename(path, `${path}.away`);
    await assert.rejects(store.put(SOURCE, [entry(2)], 1), /not at its place/);
    await Deno.writeTextFile(path, "");
    await assert.rejects(store.put(SOURCE, [entry(2)], 1), StoreRefusesError);
    assert.equal((await store.latest("user1"))?.seq, 1);
    await Deno.rename(`${path}.away`, path);
    assert.equal((await store.put(SOURCE, [entry(2)], 1)).rows, 1);
    await store.close();
  }));
