import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { StoreRefusesError } from "../../../src/errors.ts";
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
      "create table user_data (user_id text, value text, ts bigint); insert into user_data values ('u', 'old', 7), (null, null, null)",
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

Deno.test("a file that cannot be opened is an error that names it, and is tried again", () =>
  withFolder(async (folder) => {
    const path = `${folder}/missing/x.db`;
    const { store } = createSqliteStore({ path });
    await assert.rejects(store.latest("u"), (error: Error) => error.message.includes(path));
    await Deno.mkdir(`${folder}/missing`);
    assert.equal(await store.latest("u"), undefined);
    await store.close();
  }));

Deno.test("a store that was never used can be closed", () =>
  withFolder(async (folder) => {
    await createSqliteStore({ path: `${folder}/x.db` }).store.close();
  }));

Deno.test("a database file that is removed or exchanged under it takes no rows, and reads go on", () =>
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
