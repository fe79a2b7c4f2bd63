import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { createSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import type { StorePorts } from "../../../src/ports/store.ts";
import { wholePass } from "../../contract/retention_suite.ts";
import { entry } from "../../support/fakes.ts";

const RUN = "run00000000a";

async function withStore(
  work: (ports: StorePorts, execute: (text: string) => unknown[]) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-sqlite-" });
  const path = `${folder}/test.db`;
  const ports = createSqliteStore({ path });
  await ports.store.open(RUN);
  const other = new DatabaseSync(path);
  try {
    await work(ports, (text) => {
      if (!text.startsWith("select")) return [other.exec(text)];
      return other.prepare(text).all().map((row) => Object.values(row).join(" "));
    });
  } finally {
    other.close();
    await ports.store.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("numbers of deleted rows and dead letters are noted, each with its kind", () =>
  withStore(async (ports, execute) => {
    const old = (seq: number) => entry(seq, { userId: "u", run: RUN, ts: seq });
    await ports.store.put(RUN, [old(1), old(2), old(3)], 0);
    execute("insert into user_data (user_id, value, ts) values ('u', 'theirs', 1)");
    assert.equal((await wholePass(ports, 1)).rows, 3);
    execute("create unique index one_a_user on user_data (user_id)");
    await ports.store.put(RUN, [old(4), entry(5, { run: RUN })], 3);
    assert.equal(await ports.deadLetters.discard(`${RUN}-4`), true);
    assert.deepEqual(execute("select source, kind, seq from dsproxy_gone order by seq"), [
      `${RUN} retired 1`,
      `${RUN} retired 2`,
      `${RUN} discarded 4`,
    ]);
  }));

Deno.test("values that another program left in the columns are no stumbling block", () =>
  withStore(async (ports, execute) => {
    execute(`insert into user_data (user_id, value, ts) values (null, 'v', 1), (null, 'v', 2),
      (x'ff', 'v', 1), (x'ff', 'v', 2),
      ('broken' || cast(x'ff' as text), 'v', 1), ('broken' || cast(x'ff' as text), 'v', 2),
      ('text', 'v', 'yesterday'), ('text', 'v', 2), ('half', 'v', 1.5), ('half', 'v', 2.5),
      ('half', 'v', 0.5), ('no age', 'v', null), ('no age', 'v', null), ('no value', null, 9),
      ('no value', 'v', 8), ('no value', 'v', 7), ('huge', 'v', -9223372036854775807),
      ('huge', 'v', -9223372036854775806), ('', 'v', 1), ('', 'v', 2)`);
    assert.equal((await wholePass(ports, 1)).rows, 7);
    const left = execute("select quote(user_id), quote(ts) from user_data order by rowid");
    assert.deepEqual(left.slice(0, 4), ["NULL 1", "NULL 2", "X'FF' 1", "X'FF' 2"]);
    assert.deepEqual(left.slice(5), [
      "'text' 'yesterday'",
      "'half' 2.5",
      "'no age' NULL",
      "'no age' NULL",
      "'no value' 9",
      "'no value' 8",
      "'huge' -9223372036854775806",
      "'' 2",
    ]);
  }));

Deno.test("a row whose deletion is refused stays, and its neighbours go", () =>
  withStore(async (ports, execute) => {
    const rows = Array.from(
      { length: 20 },
      (_, i) => entry(i + 1, { userId: "u", run: RUN, ts: i + 1 }),
    );
    await ports.store.put(RUN, rows, 0);
    execute(`create trigger hold before delete on user_data when old.ts = 3
      begin select raise(abort, 'on hold'); end`);
    execute(`create trigger keep before delete on user_data when old.ts = 5
      begin select raise(ignore); end`);
    assert.deepEqual(await wholePass(ports, 7), { rows: 17, refused: 2 });
    assert.deepEqual(execute("select ts from user_data order by ts"), ["3", "5", "20"]);
  }));
