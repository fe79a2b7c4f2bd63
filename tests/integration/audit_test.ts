/** The audit finds nothing after whatever may happen, and all that is done behind its back. */
import assert from "node:assert/strict";
import postgres from "postgres";
import { createNumbersIndex } from "../../src/adapters/postgres/numbers_index.ts";
import { assertClean, auditBeside, plantAll, settled } from "../audit/planted.ts";
import { PLANTS } from "../audit/plants.ts";
import { ADMIN_KEY, WITH_ADMIN_KEY } from "../support/admin_key.ts";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { createDatabase } from "../support/postgres.ts";

async function withPlace(
  work: (settings: Environment, sql: postgres.Sql) => Promise<void>,
): Promise<void> {
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-audit-" });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  try {
    await work({
      DATA_DIR: dataDir,
      DATABASE_URL: database.url,
      BATCH_INTERVAL: "50ms",
      ADMIN_KEY,
    }, sql);
  } finally {
    await sql.end();
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function call(proxy: Dsproxy, method: string, path: string) {
  const response = await fetch(`${proxy.url}/admin${path}`, { method, headers: WITH_ADMIN_KEY });
  return { status: response.status, body: await response.json() };
}

Deno.test("after writes, a kill, dead letters and retention nothing is missing or doubled", () =>
  withPlace(async (settings, sql) => {
    {
      await using proxy = await Dsproxy.start(settings);
      for (let i = 0; i < 50; i++) await proxy.accept({ user_id: `u${i % 9}`, value: "v", ts: i });
      await settled(proxy);
      await assertClean(proxy);
      await sql`alter table user_data add constraint no_bad check (value <> 'bad')`;
      const ids: string[] = [];
      for (let i = 0; i < 3; i++) ids.push(await proxy.accept({ user_id: "dead", value: "bad" }));
      await settled(proxy);
      await sql`alter table user_data drop constraint no_bad`;
      assert.equal((await call(proxy, "DELETE", `/dead-letters/${ids[0]}`)).status, 200);
      assert.equal((await call(proxy, "POST", `/dead-letters/${ids[1]}/replay`)).status, 200);
      await assertClean(proxy);
      for (let i = 0; i < 100; i++) await proxy.accept({ user_id: `k${i}`, value: "v" });
      await proxy.kill();
    }
    await using proxy = await Dsproxy.start({ ...settings, RETENTION: "1h" });
    await settled(proxy);
    await assertClean(proxy);
    await eventually(
      "old rows are deleted",
      async () => await proxy.metric("dsproxy_retired_rows_total") >= 41,
      60_000,
    );
    await assertClean(proxy);
    const { body: { totals, missing, complete } } = await call(proxy, "GET", "/audit");
    assert.deepEqual([missing, complete], [0, true]);
    assert.ok(totals.retired >= 41 && totals.discarded === 1 && totals.dead === 1);
    const { dead, retired, discarded, withdrawn, accepted, rows, numbers } = totals;
    assert.equal(rows + dead + retired + discarded + withdrawn + accepted, numbers);
    await proxy.stop();
  }));

Deno.test("whatever is done behind its back is named number by number, and can be closed", async () => {
  assert.equal((await plantAll()).length, PLANTS.length);
});

Deno.test("the route reports, counts each number once, and refuses what is not clear", () =>
  withPlace(async (settings, sql) => {
    await using proxy = await Dsproxy.start({ ...settings, JOURNAL_RETAIN: "0" });
    let id = "";
    for (let i = 1; i <= 9; i++) id = await proxy.accept({ user_id: "u", value: `${i}` });
    await settled(proxy);
    const source = id.replace(/-\d+$/, "");
    await sql`delete from user_data where value in ('2', '3')`;
    await sql`insert into user_data select * from user_data where value = '5'`;
    for (let i = 0; i < 2; i++) {
      const { status, body } = await call(proxy, "GET", "/audit");
      assert.deepEqual([status, body.missing, body.doubled, body.complete], [200, 2, 1, true]);
      assert.deepEqual(body.findings, [
        { source, missing: [{ first: 2, last: 3 }], doubled: [{ seq: 5, times: 2 }], strays: [] },
      ]);
      assert.ok(body.cannot_know.length >= 2);
    }
    assert.equal(await proxy.metric("dsproxy_audit_lost_total"), 2);
    assert.equal(await proxy.metric("dsproxy_audit_doubled_total"), 1);
    assert.ok(await proxy.metric("dsproxy_audit_checked_total") >= 18);
    assert.equal(proxy.log.split("The audit found numbers").length - 1, 1, proxy.log);
    for (
      const wrong of [
        "",
        "?source=x&first=0&reason=y",
        "?source=x&first=3&last=2&reason=y",
        "?source=x&first=1&last=99999999&reason=y",
        "?source=x&first=1",
        "?first=1&reason=y",
        "?source=x&source=y&first=1&reason=y",
      ]
    ) {
      const { status, body } = await call(proxy, "POST", `/audit/accept${wrong}`);
      assert.deepEqual([status, body.type], [400, "invalid-parameter"], wrong);
    }
    const accept = () =>
      call(proxy, "POST", `/audit/accept?source=${source}&first=1&last=4&reason=by+hand`);
    assert.deepEqual((await accept()).body, { source, first: 1, last: 4, accepted: 2 });
    const again = await accept();
    assert.deepEqual([again.status, again.body.type], [404, "nothing-missing"]);
    const { code, named } = await auditBeside(proxy);
    assert.deepEqual([code, named], [2, [`doubled ${source}-5`]]);
    await proxy.stop();
  }));

Deno.test("the command writes JSON where it is asked to, and says why it failed", () =>
  withPlace(async (settings) => {
    await using proxy = await Dsproxy.start(settings);
    await proxy.accept({ user_id: "u", value: "v" }, "?ack=flushed");
    const { code, text } = await auditBeside(proxy, "--json");
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(text).findings, []);
    const clean = await auditBeside(proxy);
    assert.match(clean.verdict, /^1 number of 1 source: 0 missing, 0 doubled$/);
    const refused = await auditBeside(proxy, "accept", "0123456789ab-1", "--reason", "none");
    assert.equal(refused.code, 1);
    assert.match(refused.text, /No number from 1 through 1 .* is missing/);
    await proxy.stop();
    const alone = await auditBeside(proxy);
    assert.equal(alone.code, 1);
    assert.match(alone.text, /does it run, with the same DATA_DIR/);
  }));

Deno.test("the leader finds a lost row and a doubled one before anybody asks, and tells it once", () =>
  withPlace(async (settings, sql) => {
    {
      await using proxy = await Dsproxy.start(settings);
      for (let i = 1; i <= 9; i++) await proxy.accept({ user_id: `u${i}`, value: `${i}` });
      await settled(proxy);
      await proxy.stop();
    }
    await sql.unsafe(createNumbersIndex("public"));
    await sql`delete from user_data where value = '4'`;
    await sql`insert into user_data select * from user_data where value = '6'`;
    await using proxy = await Dsproxy.start(settings);
    await eventually(
      "it is found",
      async () => await proxy.metric("dsproxy_audit_lost_total") === 1,
      60_000,
    );
    assert.equal(await proxy.metric("dsproxy_audit_doubled_total"), 1);
    await call(proxy, "GET", "/audit");
    assert.equal(await proxy.metric("dsproxy_audit_lost_total"), 1);
    assert.equal(proxy.log.split("The audit found numbers").length - 1, 1, proxy.log);
    await proxy.stop();
  }));

Deno.test("a mark that went back under its source has it bring rows again, which is named", () =>
  withPlace(async (settings, sql) => {
    await using proxy = await Dsproxy.start(settings);
    let id = "";
    for (let i = 1; i <= 9; i++) id = await proxy.accept({ user_id: `u${i}`, value: "v" });
    await settled(proxy);
    await sql`update dsproxy_marks set seq = 6`;
    await eventually(
      "the rows have come again",
      async () => (await sql`select from user_data`).length === 12,
    );
    await settled(proxy);
    const { code, named } = await auditBeside(proxy);
    const source = id.replace(/-\d+$/, "");
    assert.deepEqual([code, named], [2, [7, 8, 9].map((seq) => `doubled ${source}-${seq}`)]);
    await proxy.stop();
  }));
