/**
 * The public contract against a running instance, whatever its store and cache. `deno task
 * test:integration [URL]`; also the URL in DSPROXY_URL. Users are random, so it may run on live
 * data, again and again.
 */
import assert from "node:assert/strict";
import {
  assertGrown,
  assertProblem,
  type Checks,
  eventually,
  newUser,
  nowSeconds,
  runChecks,
  TEST_USER_PREFIX,
} from "./client.ts";
import { refusing } from "./refusals.ts";

const writingAndReading: Checks = {
  "a write is readable at once, as text and as JSON": async (client) => {
    const user = newUser();
    const ts = nowSeconds() - 10;
    await client.mustWrite({ user_id: user, value: "v", ts });
    const text = await client.mustRead(user, "v");
    assert.match(text.headers.get("content-type") ?? "", /^text\/plain/);
    assert.equal(text.headers.get("dsproxy-ts"), String(ts));
    assert.match(text.headers.get("dsproxy-source") ?? "", /^(pending|local|redis|store)$/);
    const json = await client.read(user, { accept: "application/json" });
    assert.match(json.headers.get("content-type") ?? "", /^application\/json/);
    assert.deepEqual(JSON.parse(json.text), { user_id: user, value: "v", ts });
  },

  "ts is the time of acceptance when it is not given": async (client) => {
    const user = newUser();
    const before = nowSeconds();
    await client.mustWrite({ user_id: user, value: "v" });
    const ts = Number((await client.mustRead(user, "v")).headers.get("dsproxy-ts"));
    // The instance may run on another machine, with another clock.
    assert.ok(Math.abs(ts - before) <= 60, `ts ${ts}, but here it is ${before}`);
  },

  "any text comes back as it went in, before and after the flush": async (client) => {
    const values = [
      "",
      " ",
      "é 漢 🎉",
      "line\r\nline\ttab",
      '{"json":[1]}',
      "\\u0000 'quotes\"; --",
      "x".repeat(10_000),
    ];
    await inParallel(values.length, async (i) => {
      const user = newUser("a/b?c&d=e+f %41#é🎉 ");
      const id = await client.mustWrite({ user_id: user, value: values[i]! });
      await client.mustRead(user, values[i]!);
      await client.mustBeFlushed(id);
      await client.mustRead(user, values[i]!);
    });
  },

  "many clients at once each read what they wrote": async (client) => {
    await inParallel(200, async (i) => {
      const user = newUser();
      await client.mustWrite({ user_id: user, value: String(i) });
      await client.mustRead(user, String(i));
    });
  },

  "HEAD answers as GET, without the body": async (client) => {
    const user = newUser();
    await client.mustWrite({ user_id: user, value: "v" });
    const answer = await client.request("HEAD", `/read?user_id=${user}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.text, "");
    assert.ok(answer.headers.has("etag"));
  },
};

const newestWins: Checks = {
  "the newest ts wins, in whatever order the writes come, before and after the flush": async (
    client,
  ) => {
    const user = newUser();
    const ts = nowSeconds();
    const ids = [
      await client.mustWrite({ user_id: user, value: "old", ts: ts - 100 }),
      await client.mustWrite({ user_id: user, value: "new", ts }),
      await client.mustWrite({ user_id: user, value: "older", ts: ts - 200 }),
    ];
    await client.mustRead(user, "new");
    for (const id of ids) await client.mustBeFlushed(id);
    await client.mustRead(user, "new");
    await client.mustBeFlushed(
      await client.mustWrite({ user_id: user, value: "late", ts: ts - 50 }),
    );
    await client.mustRead(user, "new");
  },

  "of equal ts the later accepted wins": async (client) => {
    const user = newUser();
    const ts = nowSeconds();
    await client.mustWrite({ user_id: user, value: "first", ts });
    const id = await client.mustWrite({ user_id: user, value: "second", ts });
    await client.mustRead(user, "second");
    await client.mustBeFlushed(id);
    await client.mustRead(user, "second");
  },
};

const batching: Checks = {
  "a few writes are flushed by time, counted, and leave the queue": async (client) => {
    const before = await client.metrics();
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      ids.push(await client.mustWrite({ user_id: newUser(), value: "few" }));
    }
    for (const id of ids) await client.mustBeFlushed(id);
    await eventually(async () => {
      const after = await client.metrics();
      assertGrown("dsproxy_flush_rows_total", before, after, 3, { outcome: "ok" });
      assertGrown("dsproxy_batch_rows_count", before, after, 1);
      assertGrown("dsproxy_flush_duration_seconds_count", before, after, 1);
      assert.equal(after.sum("dsproxy_queue_depth"), 0, "dsproxy_queue_depth");
    });
  },

  "many writes are flushed in batches": async (client) => {
    const before = await client.metrics();
    await inParallel(
      300,
      (i) => client.mustWrite({ user_id: newUser(), value: String(i) }, "flushed"),
    );
    await eventually(async () => {
      const after = await client.metrics();
      assertGrown("dsproxy_flush_rows_total", before, after, 300, { outcome: "ok" });
      const flushes = after.sum("dsproxy_batch_rows_count")! -
        before.sum("dsproxy_batch_rows_count")!;
      assert.ok(flushes < 300, `300 writes took ${flushes} flushes`);
    });
  },
};

const acknowledgement: Checks = {
  "accepted and durable are 202, flushed is 201 and in the store": async (client) => {
    for (const ack of ["accepted", "durable", "flushed"] as const) {
      const user = newUser();
      const id = await client.mustWrite({ user_id: user, value: ack }, ack);
      await client.mustRead(user, ack);
      if (ack !== "flushed") continue;
      assert.equal((await client.request("GET", `/writes/${id}`)).text.trim(), "flushed");
    }
  },

  "write ids are unique, and each write's state can be asked": async (client) => {
    const ids = await inParallel(20, () => client.mustWrite({ user_id: newUser(), value: "v" }));
    assert.equal(new Set(ids).size, 20);
    for (const id of ids) {
      const { status, text } = await client.request("GET", `/writes/${id}`);
      assert.equal(status, 200, text);
      assert.match(text.trim(), /^(queued|flushed)$/);
    }
  },
};

const caching: Checks = {
  "a repeated read comes from the cache": async (client) => {
    const user = newUser();
    await client.mustWrite({ user_id: user, value: "cached" }, "flushed");
    await eventually(async () => {
      const answer = await client.mustRead(user, "cached");
      assert.match(answer.headers.get("dsproxy-source") ?? "", /^(local|redis)$/, "Dsproxy-Source");
    }, 10_000);
  },

  // That the store is asked shows only where a cache can be emptied: tests/integration does that.
  "an unknown user is 404, and counted as a read that found nothing": async (client) => {
    const before = await client.metrics();
    assertProblem(await client.read(newUser("unknown")), 404, "user-not-found");
    assertGrown("dsproxy_reads_total", before, await client.metrics(), 1, { source: "none" });
  },

  "a newer write is seen through a warm cache": async (client) => {
    const user = newUser();
    for (let i = 0; i < 5; i++) {
      await client.mustWrite(
        { user_id: user, value: String(i) },
        i % 2 === 0 ? "flushed" : "durable",
      );
      await client.mustRead(user, String(i));
      await client.mustRead(user, String(i));
    }
  },

  "ETag: the same version is 304, a newer one 200": async (client) => {
    const user = newUser();
    await client.mustWrite({ user_id: user, value: "one" });
    const etag = (await client.mustRead(user, "one")).headers.get("etag") ?? "";
    assert.match(etag, /^(W\/)?"[^"]+"$/);
    const same = await client.read(user, { "if-none-match": etag });
    assert.deepEqual([same.status, same.text, same.headers.get("etag")], [304, "", etag]);
    await client.mustWrite({ user_id: user, value: "two" });
    const newer = await client.read(user, { "if-none-match": etag });
    assert.deepEqual([newer.status, newer.text], [200, "two"]);
    assert.notEqual(newer.headers.get("etag"), etag);
  },
};

const METRIC_NAMES = [
  "dsproxy_http_requests_total",
  "dsproxy_http_request_duration_seconds_bucket",
  "dsproxy_writes_total",
  "dsproxy_reads_total",
  "dsproxy_queue_depth",
  "dsproxy_queue_oldest_age_seconds",
  "dsproxy_flush_duration_seconds_bucket",
  "dsproxy_flush_rows_total",
  "dsproxy_flush_retries_total",
  "dsproxy_batch_rows_bucket",
  "dsproxy_journal_bytes",
  "dsproxy_journal_fsync_duration_seconds_bucket",
  "dsproxy_cache_errors_total",
  "dsproxy_build_info",
  "process_start_time_seconds",
  "process_resident_memory_bytes",
];

const observing: Checks = {
  "health: alive and ready, with reasons on ?verbose": async (client) => {
    for (const path of ["/livez", "/healthz", "/readyz", "/livez?verbose", "/readyz?verbose"]) {
      assert.equal((await client.request("GET", path)).status, 200, path);
    }
  },

  "the metrics of the contract are there": async (client) => {
    const samples = await client.metrics();
    assert.deepEqual(METRIC_NAMES.filter((name) => samples.sum(name) === undefined), [], "missing");
    assert.match(samples.text, /^# TYPE dsproxy_shed_total counter$/m);
    assert.ok(!samples.text.includes(TEST_USER_PREFIX), "no user ids in labels");
  },

  "metrics count writes, reads and requests": async (client) => {
    const before = await client.metrics();
    const user = newUser();
    await client.mustWrite({ user_id: user, value: "v" }, "durable");
    await client.mustRead(user, "v");
    const after = await client.metrics();
    assertGrown("dsproxy_writes_total", before, after, 1, { ack: "durable" });
    assertGrown("dsproxy_reads_total", before, after, 1);
    assertGrown("dsproxy_http_requests_total", before, after, 1, {
      route: "/write",
      method: "POST",
      code: "202",
    });
    assertGrown("dsproxy_http_request_duration_seconds_count", before, after, 1, {
      route: "/read",
    });
    assertGrown("dsproxy_journal_fsync_duration_seconds_count", before, after, 1);
  },
};

function inParallel<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(index)));
}

await runChecks({
  "the instance is ready": async (client) => {
    await eventually(
      async () => assert.equal((await client.request("GET", "/readyz")).status, 200),
      10_000,
    );
  },
  ...writingAndReading,
  ...newestWins,
  ...batching,
  ...acknowledgement,
  ...caching,
  ...observing,
  ...refusing,
});
