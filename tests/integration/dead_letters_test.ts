import assert from "node:assert/strict";
import postgres from "postgres";
import { ADMIN_KEY, WITH_ADMIN_KEY } from "../support/admin_key.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";

/**
 * An instance on a database that refuses the value `bad`, with `count` refused writes among others;
 * and their ids.
 */
async function withRefused(
  count: number,
  work: (proxy: Dsproxy, sql: postgres.Sql, ids: readonly string[]) => Promise<void>,
): Promise<void> {
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-dead-" });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  try {
    const settings = {
      DATA_DIR: dataDir,
      DATABASE_URL: database.url,
      BATCH_INTERVAL: "100ms",
      ADMIN_KEY,
    };
    await using proxy = await Dsproxy.start(settings);
    await proxy.accept({ user_id: "first", value: "v" }, "?ack=flushed");
    await sql`alter table user_data add constraint no_bad check (value not like 'bad%')`;
    const ids: string[] = [];
    for (let i = 0; i < count; i++) {
      ids.push(await proxy.accept({ user_id: `u${i}`, value: `bad${i}`, ts: 1_000 + i }));
    }
    await eventually(
      "the queue is empty",
      async () => await proxy.metric("dsproxy_queue_depth") === 0,
    );
    await work(proxy, sql, ids);
    await proxy.stop();
  } finally {
    await sql.end();
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function call(proxy: Dsproxy, method: string, path: string, body?: unknown) {
  const response = await fetch(`${proxy.url}/admin/dead-letters${path}`, {
    method,
    headers: WITH_ADMIN_KEY,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

async function command(proxy: Dsproxy, ...args: string[]) {
  await using run = Dsproxy.spawn(proxy.settings, ["dead-letters", ...args]);
  return await run.ended();
}

Deno.test("dead letters are counted, listed page by page, and shown", () =>
  withRefused(5, async (proxy, _sql, ids) => {
    assert.equal(await proxy.metric("dsproxy_dead_letters"), 5);
    const seen: string[] = [];
    let path = "?limit=2";
    for (let pages = 0; path !== ""; pages++) {
      assert.ok(pages < 4);
      const { status, body } = await call(proxy, "GET", path);
      assert.equal(status, 200);
      seen.push(...body.dead_letters.map(({ id }: { id: string }) => id));
      path = body.next === null ? "" : `?limit=2&after=${encodeURIComponent(body.next)}`;
    }
    assert.deepEqual(seen, ids);
    const { body } = await call(proxy, "GET", `/${ids[3]}`);
    assert.ok(Math.abs(Date.parse(body.failed_at) - Date.now()) < 3_600_000, body.failed_at);
    assert.match(body.message, /no_bad/);
    assert.deepEqual({ ...body, failed_at: "", message: "" }, {
      id: ids[3],
      user_id: "u3",
      ts: 1_003,
      value_length: 4,
      value: "bad3",
      code: "23514",
      message: "",
      attempts: 1,
      failed_at: "",
    });
    for (const wrong of ["?limit=0", "?limit=1001", "?limit=x", "?after=here"]) {
      const refused = await call(proxy, "GET", wrong);
      assert.deepEqual([refused.status, refused.body.type], [400, "invalid-parameter"], wrong);
    }
  }));

Deno.test("a dead letter is replayed once, refused while the reason stands, discarded once", () =>
  withRefused(2, async (proxy, sql, ids) => {
    const refused = await call(proxy, "POST", `/${ids[0]}/replay`);
    assert.deepEqual([refused.status, refused.body.type], [409, "replay-refused"]);
    assert.equal((await call(proxy, "GET", `/${ids[0]}`)).body.attempts, 2);
    assert.equal((await proxy.read("u0")).status, 404);
    await sql`alter table user_data drop constraint no_bad`;
    assert.equal((await call(proxy, "POST", `/${ids[0]}/replay`)).status, 200);
    const again = await call(proxy, "POST", `/${ids[0]}/replay`);
    assert.deepEqual([again.status, again.body.type], [404, "dead-letter-not-found"]);
    assert.equal((await sql`select * from user_data where user_id = 'u0'`).length, 1);
    assert.equal((await proxy.read("u0")).value, "bad0");
    assert.equal((await call(proxy, "DELETE", `/${ids[1]}`)).status, 200);
    assert.equal((await call(proxy, "DELETE", `/${ids[1]}`)).status, 404);
    assert.equal((await sql`select * from user_data where user_id = 'u1'`).length, 0);
    assert.equal(await proxy.metric("dsproxy_dead_letters"), 0);
  }));

Deno.test("the command lists, shows, replays and discards as the API does", () =>
  withRefused(4, async (proxy, sql, ids) => {
    const listed = await command(proxy, "list");
    assert.equal(listed.code, 0, listed.log);
    for (const id of ids) assert.ok(listed.stdout.includes(id), listed.stdout);
    assert.equal(JSON.parse((await command(proxy, "show", ids[2]!)).stdout).value, "bad2");
    const refused = await command(proxy, "replay", ids[0]!);
    assert.equal(refused.code, 1);
    assert.match(refused.log, /23514.*\n0 replayed, 1 not/);
    assert.equal((await command(proxy, "discard", ids[3]!)).code, 0);
    await sql`alter table user_data drop constraint no_bad`;
    const replayed = await command(proxy, "replay", "--all");
    assert.deepEqual([replayed.code, replayed.stdout], [0, "3 replayed, 0 not\n"]);
    assert.equal((await command(proxy, "list")).stdout, "No dead letters.\n");
    assert.equal((await sql`select * from user_data where value like 'bad%'`).length, 3);
    const strange = await command(proxy, "replay", "../../write");
    assert.equal(strange.code, 1);
    assert.match(strange.log, /not a write id/);
  }));

Deno.test("by a filter they are counted, discarded and replayed, as many as were confirmed", () =>
  withRefused(6, async (proxy, sql) => {
    const reasons = [{ code: "23514", count: 6 }];
    assert.deepEqual((await call(proxy, "GET", "/count")).body, { count: 6, reasons });
    assert.deepEqual((await call(proxy, "GET", "/count?user_id=u1")).body.count, 1);
    const past = "?from=2001-01-31&until=2001-02-01T00:00:00%2B02:00";
    assert.deepEqual((await call(proxy, "GET", `/count${past}`)).body, { count: 0, reasons: [] });
    const listed = await call(proxy, "GET", "?user_id=u2&code=23514");
    assert.deepEqual(listed.body.dead_letters.map(({ user_id }: Letter) => user_id), ["u2"]);

    const changed = await call(proxy, "POST", "/discard?code=23514&expect=5");
    assert.deepEqual([changed.status, changed.body.type, changed.body.count], [
      409,
      "count-changed",
      6,
    ]);
    const one = await call(proxy, "POST", "/discard", { user_id: "u0", expect: 1 });
    assert.deepEqual(one.body, { done: 1, refused: 0, remaining: 0, next: null });
    const refused = await call(proxy, "POST", "/replay?all=true&limit=3");
    assert.deepEqual([refused.body.done, refused.body.refused, refused.body.remaining], [0, 3, 2]);

    await sql`alter table user_data drop constraint no_bad`;
    const first = await call(proxy, "POST", "/replay?code=23514&limit=2&expect=5");
    assert.deepEqual([first.status, first.body.done, first.body.remaining], [200, 2, 3]);
    const next = encodeURIComponent(first.body.next);
    const second = await call(proxy, "POST", `/replay?code=23514&after=${next}`);
    assert.deepEqual(second.body, { done: 3, refused: 0, remaining: 0, next: null });
    assert.equal((await sql`select * from user_data where value like 'bad%'`).length, 5);
    assert.equal((await proxy.read("u5")).value, "bad5");
    assert.equal(await proxy.metric("dsproxy_dead_letters"), 0);

    const lines = proxy.log.split("\n").filter((line) => line.includes('"Admin action"'));
    assert.deepEqual(lines.map((line) => told(line)), [
      { action: "dead-letters discard", done: 1, refused: 0, ofOneUser: true },
      { action: "dead-letters replay", done: 0, refused: 3, ofOneUser: undefined },
      { action: "dead-letters replay", done: 2, refused: 0, ofOneUser: undefined },
      { action: "dead-letters replay", done: 3, refused: 0, ofOneUser: undefined },
    ]);
    for (const line of lines) assert.doesNotMatch(line, /u0|bad\d/, "no user, no value");
  }));

Deno.test("the command counts by a filter, and discards what was confirmed alone", () =>
  withRefused(3, async (proxy) => {
    const counted = await command(proxy, "count", "--user", "u1");
    assert.equal(counted.stdout, "1 dead letter (23514: 1)\n", counted.log);
    const unsure = await command(proxy, "discard", "--code", "23514", "--from", "2001-01-31");
    assert.equal(unsure.code, 1);
    assert.match(unsure.log, /would discard 3 dead letters \(23514: 3\) for good\. Say --yes/);
    const sure = await command(proxy, "discard", "--user", "u1", "--yes");
    assert.deepEqual([sure.code, sure.stdout], [0, "1 discarded, 0 not\n"], sure.log);
    assert.equal(await proxy.metric("dsproxy_dead_letters"), 2);
  }));

interface Letter {
  readonly user_id: string;
}

function told(line: string) {
  const { action, done, refused, ofOneUser } = JSON.parse(line);
  return { action, done, refused, ofOneUser };
}
