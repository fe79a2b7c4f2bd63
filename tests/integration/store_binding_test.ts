import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Dsproxy, type Environment } from "../support/dsproxy.ts";
import { once, withDatabase } from "../support/postgres.ts";

interface Settings {
  readonly dataDir: string;
  readonly databaseUrl: string;
  readonly sqlite: Environment;
  readonly postgres: Environment;
}

/** Everything is held for an hour, so that only a stop flushes. */
async function withSettings(work: (settings: Settings) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-binding-" });
  try {
    await withDatabase(async (databaseUrl) => {
      const dataDir = join(folder, "data");
      const sqlite = { DATA_DIR: dataDir, BATCH_INTERVAL: "1h", BATCH_SIZE: "1000" };
      await work({
        dataDir,
        databaseUrl,
        sqlite,
        postgres: { ...sqlite, DATABASE_URL: databaseUrl },
      });
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function run(settings: Environment, ...args: string[]) {
  await using proxy = Dsproxy.spawn(settings, args);
  return await proxy.ended();
}

async function queue(settings: Environment, writes: number): Promise<void> {
  await using proxy = await Dsproxy.start(settings);
  for (let i = 0; i < writes; i++) await proxy.accept({ user_id: `u${i}`, value: `v${i}` });
  await proxy.kill();
}

function sqliteRows(dataDir: string): number {
  const path = join(dataDir, "dsproxy.db");
  try {
    Deno.statSync(path);
  } catch {
    return 0; // No such file: no such rows.
  }
  // Not opened for reading only: a process that is killed while it makes its tables leaves a
  // transaction that whoever opens the file next has to roll back.
  const database = new DatabaseSync(path);
  try {
    // A process that is killed at once may have made the file and not its tables.
    const tables = database.prepare("select 1 from sqlite_master where name = 'user_data'").all();
    if (tables.length === 0) return 0;
    return Number(database.prepare("select count(*) as n from user_data").get()!.n);
  } finally {
    database.close();
  }
}

const postgresRows = (url: string) =>
  once(url, async (sql) => {
    const [table] = await sql`select to_regclass('user_data') as name`;
    return table!.name === null
      ? 0
      : Number((await sql`select count(*) as n from user_data`)[0]!.n);
  });

Deno.test("20 writes queued for PostgreSQL do not go to SQLite by one start without DB_*", () =>
  withSettings(async ({ dataDir, databaseUrl, sqlite, postgres }) => {
    await queue(postgres, 20);
    const refused = await run(sqlite);
    assert.equal(refused.code, 78, refused.log);
    assert.match(
      refused.log,
      /belongs to the store postgres( \(database .*\) with the identity .*)?, not to sqlite/,
    );
    assert.match(refused.log, /20 accepted writes wait in .*data\/journal; nothing was moved/);
    assert.match(refused.log, /STORE=postgres/);
    assert.match(refused.log, /dsproxy --change-store/);
    assert.doesNotMatch(refused.log, /^\s+at /m, "a message, not a stack");
    assert.equal(sqliteRows(dataDir), 0);
    await using proxy = await Dsproxy.start(postgres);
    await proxy.stop();
    assert.equal(await postgresRows(databaseUrl), 20);
    assert.equal(sqliteRows(dataDir), 0);
  }));

Deno.test("--change-store lets what waits go to the configured store, and counts it", () =>
  withSettings(async ({ dataDir, databaseUrl, sqlite, postgres }) => {
    await queue(postgres, 20);
    const changed = await run(sqlite, "--change-store");
    assert.equal(changed.code, 0, changed.log);
    assert.match(
      changed.stdout,
      /belonged to postgres( \(database .*\) with the identity .*)?; from now on it belongs to sqlite \(.*dsproxy\.db\)/,
    );
    assert.match(changed.stdout, /20 accepted writes wait/);
    await using proxy = await Dsproxy.start(sqlite);
    assert.equal((await proxy.read("u7")).value, "v7");
    await proxy.stop();
    assert.equal(sqliteRows(dataDir), 20);
    assert.equal(await postgresRows(databaseUrl), 0);
    assert.equal((await run(postgres)).code, 78);
  }));

Deno.test("what was queued for SQLite does not go to PostgreSQL either, until it is told to", () =>
  withSettings(async ({ dataDir, databaseUrl, sqlite, postgres }) => {
    await queue(sqlite, 3);
    const refused = await run(postgres);
    assert.equal(refused.code, 78, refused.log);
    assert.match(refused.log, /belongs to the store sqlite, not to postgres/);
    assert.equal(await postgresRows(databaseUrl), 0);
    const changed = await run(postgres, "--change-store");
    assert.equal(changed.code, 0, changed.log);
    assert.doesNotMatch(changed.stdout, /password|postgres:\/\//, "no secret");
    await using proxy = await Dsproxy.start(postgres);
    await proxy.stop();
    assert.equal(await postgresRows(databaseUrl), 3);
    assert.equal(sqliteRows(dataDir), 0);
  }));

Deno.test("--change-store refuses while an instance runs, and before one did", () =>
  withSettings(async ({ dataDir, sqlite, postgres }) => {
    const early = await run(sqlite, "--change-store");
    assert.equal(early.code, 0, early.log);
    assert.match(early.stdout, /not in use yet/);
    await assert.rejects(Deno.stat(dataDir), Deno.errors.NotFound);
    await using proxy = await Dsproxy.start(sqlite);
    const refused = await run(postgres, "--change-store");
    assert.equal(refused.code, 1);
    assert.match(refused.log, /could not be locked.*stop that one/);
    assert.match(await Deno.readTextFile(join(dataDir, "store")), /"sqlite"/);
    await proxy.stop();
  }));

Deno.test("a directory of a version without binding belongs to its next start's store", () =>
  withSettings(async ({ dataDir, databaseUrl, sqlite, postgres }) => {
    await queue(postgres, 5);
    await Deno.remove(join(dataDir, "store"));
    await using proxy = await Dsproxy.start(postgres);
    await proxy.stop();
    assert.equal(await postgresRows(databaseUrl), 5);
    assert.equal((await run(sqlite)).code, 78);
  }));

Deno.test("a damaged binding ends the start with what to do, and --check-config names it", () =>
  withSettings(async ({ dataDir, sqlite, postgres }) => {
    await queue(postgres, 2);
    const wrong = await run(sqlite, "--check-config");
    assert.equal(wrong.code, 78);
    assert.match(
      wrong.log,
      /failed +store binding: .*belongs to the store postgres( \(database .*\) with the identity .*)?, not to sqlite/,
    );
    const right = await run(postgres, "--check-config");
    assert.equal(right.code, 0, right.log);
    assert.match(right.stdout, /ok +store binding: postgres/);

    await Deno.writeTextFile(join(dataDir, "store"), "{");
    for (const settings of [sqlite, postgres]) {
      const { code, log } = await run(settings);
      assert.equal(code, 1);
      assert.match(log, /data\/store.*is damaged.*--change-store/);
    }
    assert.match((await run(sqlite, "--check-config")).log, /failed +store binding: .*is damaged/);
    assert.equal((await run(postgres, "--change-store")).code, 0);
    await using proxy = await Dsproxy.start(postgres);
    await proxy.stop();
  }));
