/**
 * What the connections do: end in time, leave nothing running, and are not used again when they
 * should not be.
 */
import assert from "node:assert/strict";
import { createPool, type Pool, type PoolOptions } from "../../../src/adapters/postgres/pool.ts";
import { StoreUnavailableError } from "../../../src/errors.ts";
import type { Session } from "../../../src/adapters/postgres/session.ts";
import { eventually } from "../../support/dsproxy.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { once, startPostgres, withDatabase } from "../../support/postgres.ts";
import { startPgBouncer } from "../../support/pgbouncer.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { delay } from "../../support/services.ts";

const LIMIT_MS = 5_000;

async function withPool<T>(options: PoolOptions, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = createPool(options);
  try {
    return await work(pool);
  } finally {
    await pool.close();
  }
}

/** The server process that serves the session. */
async function pidOf(session: Session): Promise<number> {
  const { rows } = await session.query<{ pid: number }>("select pg_backend_pid() as pid");
  return rows[0]!.pid;
}

const currentPid = (pool: Pool) => pool.run(LIMIT_MS, pidOf);
const ask = (pool: Pool, text: string) => pool.run(LIMIT_MS, (session) => session.query(text));

/** Sessions that are at a statement with this text. */
async function running(url: string, text: string): Promise<number> {
  const [found] = await once(url, (sql) =>
    sql`select count(*)::int as n from pg_stat_activity
    where query like ${`%${text}%`} and state <> 'idle' and pid <> pg_backend_pid()`);
  return found!.n;
}

async function assertGone(url: string, text: string): Promise<void> {
  await eventually(`nothing runs ${text}`, async () => await running(url, text) === 0, 3_000);
}

Deno.test("a statement that takes too long is ended on the server, also through PgBouncer", () =>
  withDatabase(async (url) => {
    await using bouncer = await startPgBouncer({ databaseUrl: url, poolMode: "transaction" });
    for (const where of [url, bouncer.url]) {
      await withPool(postgresOptions(where), async (pool) => {
        const startedMs = performance.now();
        const sleep = () =>
          pool.run(500, (session) => session.query("select pg_sleep(3600), 'run'"));
        await assert.rejects(sleep(), {
          name: "DeadlineError",
          message: /PostgreSQL at 127\.0\.0\.1:\d+ gave no/,
        });
        assert.ok(performance.now() - startedMs < 2_500);
        await assertGone(url, "pg_sleep");
        // As a transaction, the server has a limit of its own, should it not hear of ours.
        const slow = () =>
          pool.transaction(
            1_000,
            (session) => session.query("select pg_sleep(3600), 'transaction'"),
          );
        await assert.rejects(slow(), { code: "57014" });
        await assertGone(url, "pg_sleep");
        assert.equal((await ask(pool, "select 1 as one")).rowCount, 1);
      });
    }
  }));

Deno.test("the wait for a lock is shorter than that for a statement", () =>
  withDatabase((url) =>
    withPool(postgresOptions(url), async (pool) => {
      await ask(pool, "create table locked (x int)");
      await pool.transaction(LIMIT_MS, async (session) => {
        await session.query("lock table locked");
        const insert = pool.transaction(1_000, (other) =>
          other.query("insert into locked values (1)"));
        await assert.rejects(insert, { code: "55P03" });
      });
    })
  ));

Deno.test("what PostgreSQL refuses passes through, and the connection stays in use", () =>
  withDatabase((url) =>
    withPool(postgresOptions(url, { poolSize: 1 }), async (pool) => {
      const pid = await currentPid(pool);
      await assert.rejects(ask(pool, "select 1/0"), { name: "error", code: "22012" });
      await assert.rejects(
        pool.run(LIMIT_MS, (session) => session.query("select $1::int", ["x"])),
        { code: "22P02" },
      );
      await assert.rejects(
        pool.transaction(LIMIT_MS, (session) => session.query("select * from nowhere")),
        {
          code: "42P01",
        },
      );
      await assert.rejects(
        pool.transaction(LIMIT_MS, () => Promise.reject(new Error("of the caller"))),
        {
          message: "of the caller",
        },
      );
      assert.equal(await currentPid(pool), pid);
    })
  ));

Deno.test("a connection that is left inside a transaction is not used again", () =>
  withDatabase((url) =>
    withPool(postgresOptions(url, { poolSize: 1 }), async (pool) => {
      const left = await pool.run(LIMIT_MS, async (session) => {
        await session.query("begin");
        return await pidOf(session);
      });
      assert.notEqual(await currentPid(pool), left);
    })
  ));

Deno.test("a transaction commits what it did, or says that it did not", () =>
  withDatabase((url) =>
    withPool(postgresOptions(url), async (pool) => {
      await ask(pool, "create table t (x int primary key)");
      await pool.transaction(LIMIT_MS, (session) => session.query("insert into t values (1)"));
      const swallowed = pool.transaction(LIMIT_MS, async (session) => {
        await session.query("insert into t values (2)");
        await session.query("insert into t values (1)").catch(() => {});
      });
      await assert.rejects(swallowed, /not committed: the server answered ROLLBACK/);
      assert.deepEqual((await ask(pool, "select x from t")).rows, [{ x: 1 }]);
      // Back to a savepoint, the transaction goes on.
      await pool.transaction(LIMIT_MS, async (session) => {
        await session.query("savepoint s");
        await assert.rejects(session.query("insert into t values (1)"), { code: "23505" });
        await session.query("rollback to savepoint s");
        await session.query("insert into t values (3)");
      });
      assert.deepEqual((await ask(pool, "select x from t order by x")).rows, [{ x: 1 }, { x: 3 }]);
    })
  ));

Deno.test("a commit whose answer is lost is an error that says so", () =>
  withDatabase(async (url) => {
    await using proxy = FaultProxy.to(Number(new URL(url).port));
    await withPool(postgresOptions(proxy.urlOf(url), { sslMode: "disable" }), async (pool) => {
      await ask(pool, "create table t (x int)");
      proxy.loseAnswer = "COMMIT";
      const lost = pool.transaction(
        LIMIT_MS,
        (session) => session.query("insert into t values (1)"),
      );
      await assert.rejects(lost, { name: "ConnectionLostError" });
      assert.equal(proxy.lostAnswers, 1);
      assert.deepEqual((await ask(pool, "select x from t")).rows, [{ x: 1 }]);
    });
  }));

Deno.test("when one connection breaks, all are made anew", () =>
  withDatabase((url) =>
    withPool(postgresOptions(url, { poolSize: 4 }), async (pool) => {
      const all = () =>
        Promise.all(Array.from({ length: 4 }, () =>
          pool.run(LIMIT_MS, async (session) => {
            await session.query("select pg_sleep(0.1)");
            return await pidOf(session);
          })));
      const before = new Set(await all());
      assert.equal(before.size, 4);
      const ended = pool.run(LIMIT_MS, async (session) => {
        const pid = await pidOf(session);
        await once(url, (sql) => sql`select pg_terminate_backend(${pid})`);
        await session.query("select 1");
      });
      await assert.rejects(ended, { name: "ConnectionLostError" });
      const after = await all();
      assert.deepEqual(after.filter((pid) => before.has(pid)), []);
    })
  ));

Deno.test("sessions that are ended while they are idle are noticed, and end nothing else", () =>
  withDatabase((url) =>
    withPool(postgresOptions(url, { poolSize: 2 }), async (pool) => {
      for (let round = 0; round < 5; round++) {
        const pid = await currentPid(pool);
        await once(url, (sql) => sql`select pg_terminate_backend(${pid}, 1000)`);
        await delay(50);
        assert.notEqual(await currentPid(pool), pid);
      }
    })
  ));

Deno.test("in silence every call ends in time, and the first one afterwards works", () =>
  withDatabase(async (url) => {
    await using proxy = FaultProxy.to(Number(new URL(url).port));
    await withPool(
      postgresOptions(proxy.urlOf(url), { poolSize: 4, connectTimeoutMs: 500 }),
      async (pool) => {
        await Promise.all(Array.from({ length: 8 }, () => ask(pool, "select pg_sleep(0.05)")));
        proxy.weather = "black hole";
        const startedMs = performance.now();
        const calls = Array.from({ length: 20 }, () => pool.run(1_000, pidOf));
        const ended = await Promise.allSettled(calls);
        assert.deepEqual(new Set(ended.map(({ status }) => status)), new Set(["rejected"]));
        assert.ok(performance.now() - startedMs < 3_000);
        proxy.weather = "pass";
        proxy.cut();
        await currentPid(pool);
      },
    );
  }));

Deno.test("a transaction whose client falls silent does not keep its locks", () =>
  withDatabase(async (url) => {
    await using proxy = FaultProxy.to(Number(new URL(url).port));
    await withPool(postgresOptions(proxy.urlOf(url)), async (pool) => {
      await ask(pool, "create table t (x int)");
      const silent = pool.transaction(1_000, async (session) => {
        await session.query("lock table t");
        proxy.weather = "black hole";
        await session.query("select 1");
      });
      await assert.rejects(silent, { name: "DeadlineError" });
      await once(
        url,
        (sql) =>
          sql.begin((tx) => [tx`set local lock_timeout = '5s'`, tx`insert into t values (1)`]),
      );
      proxy.weather = "pass";
    });
  }));

Deno.test("closing ends what is under way", () =>
  withDatabase(async (url) => {
    const pool = createPool(postgresOptions(url, { poolSize: 2 }));
    const calls = Array.from(
      { length: 3 },
      () => pool.run(60_000, (session) => session.query("select pg_sleep(3600)")),
    );
    const ended = Promise.allSettled(calls);
    await eventually("they run", async () => await running(url, "pg_sleep") === 2);
    const startedMs = performance.now();
    await pool.close();
    assert.deepEqual(new Set((await ended).map(({ status }) => status)), new Set(["rejected"]));
    assert.ok(performance.now() - startedMs < 3_000);
    await assertGone(url, "pg_sleep");
    await assert.rejects(ask(pool, "select 1"), /closed/);
  }));

Deno.test("a changed password is used for new connections, and those that are open go on", () =>
  withDatabase(async (url) => {
    const role = `rotated_${crypto.randomUUID().slice(0, 8)}`;
    await once(url, (sql) => sql.unsafe(`create role ${role} login password 'one'`));
    try {
      let password = "one";
      await withPool(
        postgresOptions(url, { user: role, password: () => password, poolSize: 2 }),
        async (pool) => {
          const pid = await currentPid(pool);
          await once(url, (sql) => sql.unsafe(`alter role ${role} password 'two'`));
          assert.equal(await currentPid(pool), pid);
          await once(url, (sql) => sql`select pg_terminate_backend(${pid}, 1000)`);
          await delay(50);
          await assert.rejects(currentPid(pool), { name: "ConnectError", code: "28P01" });
          password = "two";
          await currentPid(pool);
        },
      );
    } finally {
      await once(url, (sql) => sql.unsafe(`drop role ${role}`));
    }
  }));

Deno.test("a password that the server keeps as MD5 works, too", async () => {
  await using server = await startPostgres({ password_encryption: "md5" });
  await once(server.url, (sql) => sql.unsafe("create role old login password 'secret'"));
  const data = `${server.options.folder}/data`;
  const hba = await Deno.readTextFile(`${data}/pg_hba.conf`);
  await Deno.writeTextFile(`${data}/pg_hba.conf`, `host all old 127.0.0.1/32 md5\n${hba}`);
  await once(server.url, (sql) => sql`select pg_reload_conf()`);
  const options = postgresOptions(server.url, { user: "old", password: () => "secret" });
  await withPool(
    options,
    (pool) =>
      eventually("it logs in", () => ask(pool, "select 1").then(() => true, () => false), 5_000),
  );
});

Deno.test("a call that waits for a connection of a pool that is closed is told so", () =>
  withDatabase(async (url) => {
    const pool = createPool(postgresOptions(url, { poolSize: 1 }));
    const busy = ask(pool, "select pg_sleep(0.3)");
    await eventually(
      "the connection is in use",
      async () => await running(url, "pg_sleep(0.3") > 0,
    );
    const told = assert.rejects(
      ask(pool, "select 1"),
      (error) => error instanceof StoreUnavailableError && /closed/.test(error.message),
    );
    await pool.close();
    await told;
    await busy;
  }));
