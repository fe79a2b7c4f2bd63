import assert from "node:assert/strict";
import pg from "pg";
import { createIndex, INDEX_NAME } from "../../../src/adapters/postgres/ddl.ts";
import { ensureIndex } from "../../../src/adapters/postgres/latest_index.ts";
import { ensureTables } from "../../../src/adapters/postgres/schema.ts";
import { eventually } from "../../support/dsproxy.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { clientOptions, connectionsTo } from "../../support/postgres_connections.ts";
import { withRole } from "../../support/postgres_roles.ts";
import { delay } from "../../support/services.ts";

const LARGE = `create table user_data (user_id text, value text, ts bigint);
  insert into user_data select 'u' || i % 10000, 'v' || i, i from generate_series(1, 100000) i;
    create index mine on user_data (user_id)`;
const BUILD = createIndex(INDEX_NAME, "public.user_data", "full", "concurrently");
const INDEX_OPTIONS = { pollMs: 50 };

const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

interface Activity<T> extends AsyncDisposable {
  end(): Promise<T>;
}

/** Ends once, at the latest when its scope does. */
function activity<T>(finish: () => Promise<T>): Activity<T> {
  let ended: Promise<T> | undefined;
  const end = () => ended ??= finish();
  return { end, [Symbol.asyncDispose]: async () => void await end() };
}

/** Somebody's transaction that has done `statement` and goes on until its end. */
async function openTransaction(url: string, statement: string): Promise<Activity<void>> {
  const client = new pg.Client({ ...clientOptions(url), application_name: "report" });
  await client.connect();
  await client.query(`begin; ${statement}`);
  return activity(async () => {
    await client.query("commit");
    await client.end();
  });
}

/**
 * Others at work: each call is short, and one follows the other. Its end says how many were
 * answered.
 */
function othersAtWork(url: string): Activity<number> {
  let stopped = false;
  let answered = 0;
  const worker = (statement: string) =>
    once(url, async (sql) => {
      for (; !stopped; answered++) await sql.unsafe(statement);
    });
  const workers = [
    worker("insert into user_data (user_id, value, ts) values ('u1', 'theirs', 1)"),
    worker("select value from user_data where user_id = 'u2' limit 1"),
    worker(
      "begin; insert into user_data (user_id, value, ts) values ('u3', 'theirs', 1); select " +
        "pg_sleep(0.003); commit",
    ),
  ];
  return activity(async () => {
    stopped = true;
    await Promise.all(workers);
    return answered;
  });
}

/**
 * Looks all the time whether anybody waits for a lock on a table. Its end says in how many looks
 * somebody did.
 */
function watchQueue(url: string): Activity<{ looks: number; waiting: number }> {
  let stopped = false;
  const seen = { looks: 0, waiting: 0 };
  const watching = once(url, async (sql) => {
    for (; !stopped; seen.looks++) {
      const [row] = await sql.unsafe(
        `select count(*)::int as n from pg_locks where locktype = 'relation' and not granted
        and database = (select oid from pg_database where datname = current_database())`,
      );
      if (row!.n > 0) seen.waiting++;
      await delay(2);
    }
  });
  return activity(async () => {
    stopped = true;
    await watching;
    return seen;
  });
}

/** Work that goes on meanwhile. Its failure is told to whoever waits for `result`. */
function background(
  work: Promise<void>,
): { readonly done: boolean; readonly result: Promise<void> } {
  const state = { done: false, result: work.then(() => void (state.done = true)) };
  state.result.catch(() => {});
  return state;
}

async function isValid(url: string): Promise<boolean> {
  const [row] = await execute(
    url,
    `select indisvalid from pg_index where indexrelid = to_regclass('${INDEX_NAME}')`,
  );
  return row?.indisvalid === true;
}

Deno.test("while a long transaction holds the table nobody queues; the columns come after it", () =>
  withDatabase(async (url) => {
    await execute(url, LARGE);
    await using long = await openTransaction(url, "select * from user_data limit 1");
    await using queue = watchQueue(url);
    await using others = othersAtWork(url);
    const migrating = background(ensureTables(connectionsTo(url)));
    await delay(1_500);
    const { waiting, looks } = await queue.end();
    assert.equal(migrating.done, false, "the columns need the table for a moment");
    assert.equal(waiting, 0, `somebody waited in ${waiting} of ${looks} looks`);
    assert.ok(looks > 20, `only ${looks} looks`);
    await long.end();
    await migrating.result;
    assert.ok(await others.end() > 100);
    await ensureTables(connectionsTo(url));
  }));

Deno.test("a busy table, on which one transaction always overlaps the next, is migrated too", () =>
  withDatabase(async (url) => {
    await execute(url, LARGE);
    await using _some = othersAtWork(url);
    await using _more = othersAtWork(url);
    await using _others = othersAtWork(url);
    await ensureTables(connectionsTo(url));
    await ensureIndex(connectionsTo(url), INDEX_OPTIONS);
    assert.equal(await isValid(url), true);
  }));

Deno.test("where no moment comes the error names who holds the table, and nothing is locked", () =>
  withDatabase(async (url) => {
    await execute(url, LARGE);
    await using long = await openTransaction(url, "insert into user_data values ('long', 'x', 1)");
    await assert.rejects(
      ensureTables(connectionsTo(url), { patienceMs: 400 }),
      /held by process \d+ \(postgres, report, idle in transaction since .*alter table public\.user_data/,
    );
    const held = await execute(
      url,
      "select 1 from pg_locks where mode = 'AccessExclusiveLock' and relation = " +
        "'user_data'::regclass",
    );
    assert.equal(held.length, 0);
    await long.end();
    await ensureTables(connectionsTo(url));
  }));

Deno.test("a service that stops while it waits for its moment stops at once", () =>
  withDatabase(async (url) => {
    await execute(url, LARGE);
    await using long = await openTransaction(url, "select * from user_data limit 1");
    const stop = new AbortController();
    const migrating = background(ensureTables(connectionsTo(url), { signal: stop.signal }));
    await delay(300);
    stop.abort(new Error("stopping"));
    await assert.rejects(migrating.result, /stopping/);
    await long.end();
  }));

Deno.test("writes and reads go on while the index is built, whoever the build waits for", () =>
  withDatabase(async (url) => {
    await execute(url, LARGE);
    await ensureTables(connectionsTo(url));
    await using long = await openTransaction(url, "insert into user_data values ('long', 'x', 1)");
    const building = background(ensureIndex(connectionsTo(url), INDEX_OPTIONS));
    await buildIsRunning(url);
    await using queue = watchQueue(url);
    await using others = othersAtWork(url);
    await delay(500);
    assert.ok(await others.end() > 50);
    assert.equal((await queue.end()).waiting, 0);
    assert.equal(building.done, false);
    await long.end();
    await building.result;
    assert.equal(await isValid(url), true);
  }));

async function buildIsRunning(url: string): Promise<void> {
  const builds = `select 1 from pg_stat_progress_create_index where datname = current_database()`;
  await eventually("the build has begun", async () => (await execute(url, builds)).length > 0);
}

Deno.test("what an interrupted build left behind is dropped, and built anew", () =>
  withDatabase(async (url) => {
    await execute(url, LARGE);
    await ensureTables(connectionsTo(url));
    await using long = await openTransaction(url, "insert into user_data values ('long', 'x', 1)");
    const build = assert.rejects(execute(url, BUILD), /canceling statement/);
    await buildIsRunning(url);
    await execute(
      url,
      "select pg_cancel_backend(pid) from pg_stat_progress_create_index where datname = " +
        "current_database()",
    );
    await build;
    await long.end();
    assert.equal(await isValid(url), false);
    const statements: string[] = [];
    await ensureIndex(connectionsTo(url, {}, (text) => statements.push(text)), INDEX_OPTIONS);
    assert.equal(await isValid(url), true);
    assert.deepEqual(
      statements.filter((text) => /^(drop|create)/.test(text)).map((text) => text.split(" ")[0]),
      [
        "drop",
        "create",
      ],
    );
  }));

Deno.test("an instance that dies during its build leaves it to the server; the next waits", () =>
  withDatabase(async (url) => {
    await execute(url, LARGE);
    await ensureTables(connectionsTo(url));
    await using long = await openTransaction(url, "insert into user_data values ('long', 'x', 1)");
    const dead = new pg.Client(clientOptions(url));
    dead.on("error", () => {}); // The death is meant.
    await dead.connect();
    const unanswered = assert.rejects(dead.query(BUILD));
    await buildIsRunning(url);
    dead.connection.stream.destroy();
    await unanswered;
    const statements: string[] = [];
    const waiting = background(
      ensureIndex(connectionsTo(url, {}, (text) => statements.push(text)), INDEX_OPTIONS),
    );
    await delay(300);
    await buildIsRunning(url);
    await long.end();
    await waiting.result;
    assert.equal(await isValid(url), true);
    assert.deepEqual(statements.filter((text) => /^(drop|create)/.test(text)), []);
  }));

Deno.test("a statement_timeout too short for the build is named, with what to run instead", () =>
  withDatabase((url) =>
    withRole(url, async (role) => {
      await execute(
        url,
        `${LARGE}; alter table user_data owner to ${role.user}; grant all on schema public to
          ${role.user};
        alter role ${role.user} set statement_timeout = '700ms'`,
      );
      await ensureTables(connectionsTo(url, role));
      await using long = await openTransaction(
        url,
        "insert into user_data values ('long', 'x', 1)",
      );
      await assert.rejects(
        ensureIndex(connectionsTo(url, role), INDEX_OPTIONS),
        new RegExp(
          `statement_timeout of the role ${role.user} \\(700ms\\).*create index concurrently`,
        ),
      );
      await long.end();
      await ensureIndex(connectionsTo(url, role), INDEX_OPTIONS);
      assert.equal(await isValid(url), true);
    })
  ));
