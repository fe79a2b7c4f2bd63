import assert from "node:assert/strict";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { createDatabase, once, startPostgres } from "../support/postgres.ts";
import { sharedRedisUrl, startRedis } from "../support/redis.ts";

interface Row {
  user_id: string;
  value: string;
  ts: number;
}

const rowsOf = (url: string) =>
  once(
    url,
    (sql) =>
      sql<Row[]>`select user_id, value, ts::float8 as ts from user_data order by dsproxy_seq`,
  );

const countRows = (url: string) =>
  once(url, async (sql) => {
    const [table] = await sql`select to_regclass('user_data') as name`;
    return table!.name === null
      ? 0
      : Number((await sql`select count(*) as n from user_data`)[0]!.n);
  });

async function withInstances(
  work: (settings: (name: string) => Environment, databaseUrl: string) => Promise<void>,
) {
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-real-" });
  const prefix = `test-${crypto.randomUUID()}:`;
  const settings = (name: string) => ({
    DATA_DIR: `${dataDir}/${name}`,
    DATABASE_URL: database.url,
    REDIS_URL: sharedRedisUrl(),
    CACHE_PREFIX: prefix,
  });
  try {
    await work(settings, database.url);
  } finally {
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("200 writes are 200 rows in an interval and a second, for others, too", () =>
  withInstances(async (settings, url) => {
    await using a = await Dsproxy.start(settings("a"));
    await using b = await Dsproxy.start(settings("b"));
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => a.accept({ user_id: `u${i}`, value: `v${i}` })),
    );
    await eventually("200 rows", async () => await countRows(url) === 200, 3_000);
    for (let i = 0; i < 200; i++) assert.equal((await b.read(`u${i}`)).value, `v${i}`);
    const rows = await rowsOf(url);
    assert.deepEqual(new Set(rows.map(({ user_id }) => user_id)).size, 200);
    await a.stop();
    await b.stop();
  }));

Deno.test("an old ts written late does not win, on any instance, cached or not", () =>
  withInstances(async (settings, url) => {
    await using a = await Dsproxy.start({ ...settings("a"), BATCH_INTERVAL: "100ms" });
    await using b = await Dsproxy.start({
      ...settings("b"),
      BATCH_INTERVAL: "100ms",
      CACHE_PREFIX: "cold:" + crypto.randomUUID(),
    });
    await a.accept({ user_id: "u", value: "new", ts: 2_000 }, "?ack=flushed");
    await a.accept({ user_id: "u", value: "old", ts: 1_000 });
    assert.equal((await a.read("u")).value, "new");
    // b's cache has never heard of the user, and its own write is the old one.
    await b.accept({ user_id: "u", value: "old too", ts: 1_500 });
    assert.equal((await b.read("u")).value, "new");
    await eventually("three rows", async () => await countRows(url) === 3);
    assert.equal((await a.read("u")).value, "new");
    assert.equal((await b.read("u")).value, "new");
    await a.stop();
    await b.stop();
  }));

Deno.test("a newer write through one instance is seen by readers of another", () =>
  withInstances(async (settings) => {
    await using a = await Dsproxy.start(settings("a"));
    await using b = await Dsproxy.start(settings("b"));
    await a.accept({ user_id: "u", value: "first", ts: 1_000 });
    await eventually("b reads it", async () => (await b.read("u")).value === "first");
    await a.accept({ user_id: "u", value: "second", ts: 1_001 });
    await eventually("b reads the newer one", async () => (await b.read("u")).value === "second");
    await a.stop();
    await b.stop();
  }));

Deno.test("without Redis reads and writes succeed, and it is used again once back", () =>
  withInstances(async (settings, url) => {
    await using redis = await startRedis();
    await using proxy = await Dsproxy.start({
      ...settings("a"),
      REDIS_URL: redis.url,
      BATCH_INTERVAL: "200ms",
    });
    await proxy.accept({ user_id: "before", value: "1" }, "?ack=flushed");
    await redis.stop();
    for (let i = 0; i < 20; i++) await proxy.accept({ user_id: `during${i}`, value: "2" });
    assert.equal((await proxy.read("before")).value, "1");
    assert.equal((await proxy.read("during7")).value, "2");
    await eventually("all rows", async () => await countRows(url) === 21);
    assert.equal((await proxy.read("during7")).value, "2");
    await redis.start();
    await eventually(
      "read from the cache again",
      async () => (await proxy.read("before")).source !== "store",
    );
    await proxy.stop();
  }));

Deno.test("without PostgreSQL writes can be read, and land exactly once later", async () => {
  await using postgres = await startPostgres();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-outage-" });
  const settings = { DATA_DIR: dataDir, DATABASE_URL: postgres.url, BATCH_INTERVAL: "200ms" };
  try {
    await using proxy = await Dsproxy.start(settings);
    await proxy.accept({ user_id: "u0", value: "v0" }, "?ack=flushed");
    await postgres.kill();
    for (let i = 1; i <= 300; i++) await proxy.accept({ user_id: `u${i}`, value: `v${i}` });
    assert.deepEqual(await proxy.read("u17"), { status: 200, value: "v17", source: "pending" });
    assert.equal(await proxy.status("/readyz"), 200, "ready: writes are accepted");
    const unknown = await fetch(`${proxy.url}/read?user_id=nobody`);
    assert.equal(unknown.status, 503);
    assert.equal((await unknown.json()).type, "store-unavailable");
    const breaker = () => proxy.metric('dsproxy_breaker_state{dependency="store"}');
    await eventually("the breaker opens", async () => await breaker() === 2);
    assert.equal(await proxy.metric('dsproxy_breaker_state{dependency="cache"}'), 0);
    await postgres.start();
    await eventually("all rows", async () => await countRows(postgres.url) >= 301);
    assert.equal(await breaker(), 0);
    const rows = await rowsOf(postgres.url);
    assert.deepEqual(
      rows.map(({ user_id }) => user_id),
      Array.from({ length: 301 }, (_, i) => `u${i}`),
    );
    await proxy.stop();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("readiness and answers tell of a role that may not read, until it may", async () => {
  await using postgres = await startPostgres();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-revoke-" });
  try {
    await once(
      postgres.url,
      (sql) =>
        sql.unsafe("create role app login password 'pw'; grant create on schema public to app"),
    );
    const url = new URL(postgres.url);
    [url.username, url.password] = ["app", "pw"];
    await using proxy = await Dsproxy.start({
      DATA_DIR: dataDir,
      DATABASE_URL: url.href,
      BATCH_INTERVAL: "200ms",
    });
    await proxy.accept({ user_id: "u", value: "v" }, "?ack=flushed");
    const ready = async (wanted: number) => await proxy.status("/readyz") === wanted;
    await eventually("ready", () => ready(200));
    await once(postgres.url, (sql) => sql.unsafe("revoke select on user_data from app"));
    const refused = await proxy.read("somebody else");
    assert.equal(refused.status, 503);
    assert.match(refused.value, /refuses to be read/);
    await eventually("not ready", () => ready(503));
    assert.match(
      await (await fetch(`${proxy.url}/readyz?verbose`)).text(),
      /store: .*permission denied/,
    );
    await once(postgres.url, (sql) => sql.unsafe("grant select on user_data to app"));
    await eventually("ready again", () => ready(200));
    assert.equal((await proxy.read("somebody else")).status, 404);
    await proxy.stop();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("the service starts and accepts before PostgreSQL and Redis are there", async () => {
  await using postgres = await startPostgres();
  await postgres.stop();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-early-" });
  try {
    await using proxy = await Dsproxy.start({
      DATA_DIR: dataDir,
      DATABASE_URL: postgres.url,
      REDIS_ADDR: "127.0.0.1:1",
    });
    await proxy.accept({ user_id: "early", value: "bird" });
    assert.equal((await proxy.read("early")).value, "bird");
    await postgres.start();
    await eventually("the row", async () => await countRows(postgres.url) === 1);
    await proxy.stop();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("a stop without PostgreSQL leaves the writes for the next start", async () => {
  await using postgres = await startPostgres();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-left-" });
  const settings = { DATA_DIR: dataDir, DATABASE_URL: postgres.url };
  try {
    await postgres.stop();
    {
      await using proxy = await Dsproxy.start(settings);
      for (let i = 0; i < 10; i++) await proxy.accept({ user_id: `u${i}`, value: "v" });
      await proxy.stop();
      assert.match(proxy.log, /"leftInJournal":10/);
    }
    await postgres.start();
    await using proxy = await Dsproxy.start(settings);
    await eventually("ten rows", async () => await countRows(postgres.url) === 10);
    await proxy.stop();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("a row that the database refuses holds up nobody, and its status is dead", () =>
  withInstances(async (settings, url) => {
    await using proxy = await Dsproxy.start({ ...settings("a"), BATCH_INTERVAL: "200ms" });
    await proxy.accept({ user_id: "first", value: "v" }, "?ack=flushed");
    await once(
      url,
      (sql) => sql`alter table user_data add constraint no_bad check (value <> 'bad')`,
    );
    const writes = Array.from(
      { length: 120 },
      (_, i) => proxy.accept({ user_id: `u${i}`, value: i % 40 === 7 ? "bad" : "good" }),
    );
    const ids = await Promise.all(writes);
    await eventually(
      "the queue is empty",
      async () => await proxy.metric("dsproxy_queue_depth") === 0,
    );
    assert.equal(await countRows(url), 1 + 117);
    for (const [i, id] of ids.entries()) {
      const status = await (await fetch(`${proxy.url}/writes/${id}`)).text();
      assert.equal(status, i % 40 === 7 ? "dead: 23514" : "flushed");
    }
    assert.equal((await proxy.read("u7")).status, 404);
    assert.equal((await proxy.read("u8")).value, "good");
    assert.equal(await proxy.metric('dsproxy_flush_rows_total{outcome="dead"}'), 3);
    const [dead] = await once(
      url,
      (sql) =>
        sql`select user_id, value, code, message from dsproxy_dead_letters where user_id = 'u7'`,
    );
    assert.deepEqual({ ...dead, message: "" }, {
      user_id: "u7",
      value: "bad",
      code: "23514",
      message: "",
    });
    const waited = await proxy.write({ user_id: "late", value: "bad" }, "?ack=flushed");
    assert.equal(waited.status, 202, "not flushed, and not said to be");
    await waited.body?.cancel();
    await proxy.stop();
  }));

Deno.test("the variables of the original select PostgreSQL and Redis", () =>
  withInstances(async (settings, databaseUrl) => {
    const db = new URL(databaseUrl);
    const redis = new URL(sharedRedisUrl());
    const { DATA_DIR, CACHE_PREFIX } = settings("a");
    await using proxy = await Dsproxy.start({
      DATA_DIR: DATA_DIR!,
      CACHE_PREFIX: CACHE_PREFIX!,
      DB_HOST: db.hostname,
      DB_PORT: db.port,
      DB_USER: db.username,
      DB_PASS: decodeURIComponent(db.password),
      DB_NAME: db.pathname.slice(1),
      REDIS_ADDR: redis.host,
      BATCH_SIZE: "50",
      BATCH_INTERVAL: "2s",
    });
    await proxy.accept({ user_id: "u", value: "v" }, "?ack=flushed");
    assert.equal(await countRows(databaseUrl), 1);
    assert.match(proxy.log, /"store":"postgres","cache":"redis"/);
    await proxy.stop();
  }));

Deno.test("Dsproxy-After makes a write at one instance visible at another, with Redis and without", () =>
  withInstances(async (settings) => {
    for (const unset of [[], ["REDIS_URL"]]) {
      const settingsOf = (name: string) =>
        Object.fromEntries(
          Object.entries(settings(`${name}${unset.length}`)).filter(([key]) =>
            !unset.includes(key)
          ),
        );
      await using a = await Dsproxy.start({ ...settingsOf("a"), BATCH_INTERVAL: "200ms" });
      await using b = await Dsproxy.start(settingsOf("b"));
      const user = `u${unset.length}`;
      for (let i = 0; i < 5; i++) {
        // It is in the caches of both by then, as it was.
        await b.read(user);
        const id = await a.accept({ user_id: user, value: `v${i}`, ts: 1_700_000_000 });
        assert.deepEqual(await b.read(user, id), { status: 200, value: `v${i}`, source: "store" });
        assert.equal((await b.read(user)).value, `v${i}`, "and what was seen stays");
        assert.equal((await a.read(user, id)).value, `v${i}`, "where it was accepted");
      }
      const refused = await b.read(user, "no write id");
      assert.deepEqual([refused.status, JSON.parse(refused.value).type], [
        400,
        "invalid-parameter",
      ]);
      await a.stop();
      await b.stop();
    }
  }));

Deno.test("a read that waits for a write does not keep its instance from stopping", () =>
  withInstances(async (settings) => {
    await using proxy = await Dsproxy.start(settings("a"));
    await proxy.accept({ user_id: "u", value: "v" }, "?ack=flushed");
    const waiting = proxy.read("u", "zzzzzzzzzzzz-1");
    // It has arrived once another one, sent after it, is answered.
    await proxy.read("u");
    await proxy.stop();
    const { status, value } = await waiting;
    assert.deepEqual([status, JSON.parse(value).type], [503, "shutting-down"]);
  }));
