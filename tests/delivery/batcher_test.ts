import assert from "node:assert/strict";
import { Batcher } from "../../src/delivery/batcher.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { StoreRefusesError, StoreWentBackError } from "../../src/errors.ts";
import { Pending } from "../../src/intake/pending.ts";
import type { Cache } from "../../src/ports/cache.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { entry, FakeQueue, FakeStore, idleMetrics } from "../support/fakes.ts";

const quiet = new Log("error", "json", () => {});

function setUp(options = { size: 50, intervalMs: 2_000, max: 5_000 }, log = quiet) {
  const clock = new FakeClock();
  const queue = new FakeQueue();
  const store = new FakeStore();
  const pending = new Pending((seq) => queue.read(seq));
  const updates: number[][] = [];
  const forgotten: string[] = [];
  const cacheFault = { refuse: false, tell: () => Promise.resolve() };
  const cache: Cache = {
    get: () => Promise.resolve(undefined),
    setMany: (entries) =>
      cacheFault.refuse
        ? Promise.reject(new Error("READONLY"))
        : Promise.resolve(void updates.push(entries.map(({ seq }) => seq))),
    forget: (userId) => Promise.resolve(void forgotten.push(userId)),
    ping: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const metrics = idleMetrics();
  const parts = { queue, store, pending, clock, metrics, log, random: () => 0.5 };
  const client = new CacheClient(cache, 1_000, clock, () => {}, {
    text: "",
    isSure: true,
    outdate: () => cacheFault.tell(),
  });
  const batcher = new Batcher(options, { ...parts, cache: client });
  return { clock, queue, store, pending, updates, forgotten, cacheFault, batcher, metrics };
}

function fill(queue: FakeQueue, from: number, to: number): void {
  for (let seq = from; seq <= to; seq++) queue.add(entry(seq));
}

Deno.test("a batch that is not full waits for the interval", async () => {
  const { clock, queue, store, batcher } = setUp();
  batcher.start();
  fill(queue, 1, 49);
  batcher.notify();
  await clock.advance(1_999);
  assert.equal(store.rows.length, 0);
  await clock.advance(1);
  assert.equal(store.rows.length, 49);
  assert.deepEqual(store.batches, [49]);
  await batcher.stop();
});

Deno.test("a full batch is flushed at once", async () => {
  const { queue, store, batcher } = setUp();
  batcher.start();
  fill(queue, 1, 50);
  batcher.notify();
  await settle();
  assert.deepEqual(store.batches, [50]);
  await batcher.stop();
});

Deno.test("a backlog is flushed in statements of the largest size until less than a batch is left", async () => {
  const { queue, store, batcher } = setUp({ size: 50, intervalMs: 2_000, max: 400 });
  fill(queue, 1, 1_030);
  batcher.start();
  await settle();
  assert.deepEqual(store.batches, [400, 400, 230]);
  await batcher.stop();
});

Deno.test("a failed batch stays in hand and is stored exactly once when the store returns", async () => {
  const { clock, queue, store, batcher } = setUp();
  batcher.start();
  store.failWith = new Error("connection refused");
  fill(queue, 1, 50);
  batcher.notify();
  await clock.advance(60_000);
  assert.equal(store.rows.length, 0);
  fill(queue, 51, 60);
  store.failWith = undefined;
  await clock.advance(10_000);
  assert.deepEqual(store.rows.map(({ seq }) => seq), Array.from({ length: 60 }, (_, i) => i + 1));
  await batcher.stop();
});

Deno.test("a commit whose answer was lost is not written twice", async () => {
  const { clock, queue, store, batcher } = setUp();
  batcher.start();
  store.loseNextAnswer = true;
  fill(queue, 1, 50);
  batcher.notify();
  await clock.advance(10_000);
  assert.equal(store.rows.length, 50);
  assert.equal(queue.ackedSeq, 50);
  await batcher.stop();
});

Deno.test("retries back off up to a cap instead of hammering a store that is down", async () => {
  const { clock, queue, store, batcher } = setUp();
  batcher.start();
  store.failWith = new Error("down");
  fill(queue, 1, 50);
  batcher.notify();
  let attempts = 0;
  const failing = store.open.bind(store);
  store.open = (source) => {
    attempts++;
    return failing(source);
  };
  await clock.advance(60_000);
  // Half of each bound (random = 0.5): 0.1, 0.2, 0.4 … then 2.5 s each.
  assert.ok(attempts >= 20 && attempts <= 35, `${attempts} attempts in a minute`);
  await batcher.stop();
});

Deno.test("a row that the store refuses goes to the dead letters; its neighbours are stored at once, each once", async () => {
  const { queue, store, updates, forgotten, batcher } = setUp();
  for (const seq of [1, 77, 78, 300]) store.refused.add(seq);
  fill(queue, 1, 300);
  batcher.start();
  const refused = batcher.whenFlushed(77, 10_000);
  const stored = batcher.whenFlushed(79, 10_000);
  for (let i = 0; i < 20; i++) await settle();
  assert.deepEqual(store.dead.map(({ seq }) => seq), [1, 77, 78, 300]);
  assert.deepEqual(
    store.rows.map(({ seq }) => seq),
    Array.from({ length: 300 }, (_, i) => i + 1).filter((n) => !store.refused.has(n)),
  );
  assert.deepEqual(forgotten, ["user1", "user77", "user78", "user300"]);
  assert.ok(!updates.flat().some((seq) => store.refused.has(seq)));
  assert.equal(queue.stats().depth, 0);
  assert.equal(await refused, false);
  assert.equal(await stored, true);
  await batcher.stop();
});

Deno.test("a refused row of a batch whose answer was lost is not taken for flushed", async () => {
  const { clock, queue, store, updates, batcher } = setUp({ size: 1, intervalMs: 1_000, max: 10 });
  store.refused.add(1);
  store.loseNextAnswer = true;
  fill(queue, 1, 2);
  batcher.start();
  const refused = batcher.whenFlushed(1, 60_000);
  const stored = batcher.whenFlushed(2, 60_000);
  await clock.advance(10_000);
  assert.deepEqual([await refused, await stored], [false, true]);
  assert.deepEqual([store.dead.length, queue.ackedSeq, updates.flat()], [1, 2, [2]]);
  await batcher.stop();
});

Deno.test("rows that are refused are one line of the log, however many", async () => {
  const lines: string[] = [];
  const { queue, store, batcher } = setUp(
    undefined,
    new Log("error", "json", (line) => lines.push(line)),
  );
  for (let seq = 1; seq <= 900; seq++) store.refused.add(seq);
  fill(queue, 1, 1_000);
  batcher.start();
  for (let i = 0; i < 20; i++) await settle();
  assert.equal(store.dead.length, 900);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /"rows":900,"of":1000,"writeId":"instance0001-1","code":"23514"/);
  await batcher.stop();
});

Deno.test("a table that refuses every row keeps the queue, says so, and gets all of it once it takes rows again", async () => {
  const { clock, queue, store, batcher } = setUp();
  batcher.start();
  store.failWith = new StoreRefusesError("23502", "user_data takes no row at all: tenant is null");
  fill(queue, 1, 60);
  await clock.advance(30_000);
  assert.match(batcher.refusal!, /tenant is null/);
  assert.deepEqual([store.rows.length, queue.stats().depth], [0, 60]);
  store.failWith = undefined;
  await clock.advance(10_000);
  assert.equal(batcher.refusal, undefined);
  assert.deepEqual(store.batches, [60], "a refusal is no reason for smaller batches");
  await batcher.stop();
});

Deno.test("rows that are refused for themselves do not block those that come after, though nothing else was there to tell", async () => {
  const { clock, queue, store, batcher } = setUp({ size: 1, intervalMs: 1_000, max: 100 });
  const put = store.put.bind(store);
  store.put = (source, entries, confirmedSeq) =>
    entries.every(({ seq }) => store.refused.has(seq))
      ? Promise.reject(new StoreRefusesError("23514", "user_data takes no row at all"))
      : put(source, entries, confirmedSeq);
  for (const seq of [1, 2, 3]) store.refused.add(seq);
  fill(queue, 1, 3);
  batcher.start();
  await clock.advance(10_000);
  assert.match(batcher.refusal!, /no row at all/);
  fill(queue, 4, 30);
  batcher.notify();
  await clock.advance(10_000);
  assert.deepEqual([store.dead.length, store.rows.length, queue.stats().depth], [3, 27, 0]);
  assert.equal(batcher.refusal, undefined);
  await batcher.stop();
});

Deno.test("a way to two databases by turns does not make a step go on for ever", async () => {
  const { clock, queue, store, batcher } = setUp({ size: 1, intervalMs: 1_000, max: 100 });
  let puts = 0;
  store.put = () => {
    puts++;
    return Promise.reject(new StoreWentBackError("5 is below 9"));
  };
  fill(queue, 1, 3);
  batcher.start();
  await clock.advance(60_000);
  assert.ok(puts < 100, `${puts} puts in a minute`);
  await batcher.stop();
});

Deno.test("a drain ends with its time, though the store keeps a flush waiting", async () => {
  const { queue, store, batcher } = setUp();
  const late = Promise.withResolvers<never>();
  store.put = () => late.promise;
  batcher.start();
  fill(queue, 1, 3);
  const time = new AbortController();
  const drained = batcher.drain(time.signal);
  await settle();
  time.abort();
  assert.equal(await drained, false);
  late.reject(new Error("closed"));
  await settle();
  assert.equal(queue.ackedSeq, 0);
  await batcher.stop();
});

Deno.test("a store that went back is reported once, and gets again what is still in hand", async () => {
  const lines: string[] = [];
  const { clock, queue, store, metrics, batcher } = setUp(
    { size: 50, intervalMs: 1_000, max: 100 },
    new Log("error", "json", (line) => lines.push(line)),
  );
  batcher.start();
  fill(queue, 1, 30);
  await clock.advance(1_000);
  assert.equal(store.rows.length, 30);
  store.rows.length = 20;
  store.markOf.set(queue.source, 20);
  fill(queue, 31, 45);
  await clock.advance(5_000);
  assert.deepEqual(
    store.rows.map(({ seq }) => seq).slice(20),
    Array.from({ length: 15 }, (_, i) => i + 31),
  );
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /"firstLostSeq":21,"lastLostSeq":30,"writes":10/);
  const { text } = await metrics.expose(false);
  assert.match(text, /dsproxy_store_went_back_total 1\n/);
  assert.match(text, /dsproxy_store_went_back_writes_total 10\n/);
  await batcher.stop();
});

Deno.test("a store that went back within a batch gets all of it again", async () => {
  const { clock, queue, store, batcher } = setUp({ size: 50, intervalMs: 1_000, max: 100 });
  const put = store.put.bind(store);
  let puts = 0;
  store.put = async (...args) => {
    if (++puts === 1) throw new Error("no answer: from now on in halves");
    if (puts === 3) {
      store.rows.length = 0;
      store.markOf.set(queue.source, 0);
    }
    return await put(...args);
  };
  fill(queue, 1, 100);
  batcher.start();
  await clock.advance(10_000);
  assert.deepEqual(store.rows.map(({ seq }) => seq), Array.from({ length: 100 }, (_, i) => i + 1));
  await batcher.stop();
});

Deno.test("what the last run had been told is held against the store at the start", async () => {
  const lines: string[] = [];
  const { clock, queue, store, batcher } = setUp(
    undefined,
    new Log("error", "json", (line) => lines.push(line)),
  );
  queue.settledBefore = { source: "instance0001/run0", seq: 500 };
  store.markOf.set("instance0001/run0", 480);
  fill(queue, 501, 510);
  batcher.start();
  await clock.advance(5_000);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /"source":"instance0001\/run0","firstLostSeq":481,"lastLostSeq":500/);
  assert.equal(store.rows.length, 10);
  await batcher.stop();
});

Deno.test("a batch is not let go of while others may read outdated copies and cannot be told", async () => {
  const { clock, queue, store, cacheFault, batcher } = setUp({
    size: 1,
    intervalMs: 1_000,
    max: 10,
  });
  cacheFault.refuse = true;
  cacheFault.tell = () => Promise.reject(new Error("the store is away"));
  fill(queue, 1, 1);
  batcher.start();
  await clock.advance(20_000);
  assert.deepEqual([store.rows.length, queue.ackedSeq], [1, 0]);
  let told = 0;
  cacheFault.tell = () => Promise.resolve(void told++);
  await clock.advance(20_000);
  assert.deepEqual([store.rows.length, queue.ackedSeq, told], [1, 1, 1]);
  await batcher.stop();
});

Deno.test("a store too slow for a whole batch gets it in pieces, in order, each once", async () => {
  const { clock, queue, store, batcher } = setUp();
  const put = store.put.bind(store);
  store.put = (source, entries, confirmedSeq) =>
    entries.length > 100
      ? Promise.reject(new Error("no answer within 5000 ms"))
      : put(source, entries, confirmedSeq);
  fill(queue, 1, 1_000);
  batcher.start();
  await clock.advance(120_000);
  assert.deepEqual(
    store.rows.map(({ seq }) => seq),
    Array.from({ length: 1_000 }, (_, i) => i + 1),
  );
  await batcher.stop();
});

Deno.test("entries that a crash replays below the mark are not written again; one may have been refused: the cache forgets it", async () => {
  const { queue, store, updates, forgotten, batcher } = setUp();
  store.markOf.set(queue.source, 50);
  fill(queue, 1, 50);
  batcher.start();
  await settle();
  assert.equal(store.rows.length, 0);
  assert.equal(queue.ackedSeq, 50);
  assert.deepEqual(updates.flat(), []);
  assert.equal(forgotten.length, 50);
  await batcher.stop();
});

Deno.test("what is flushed goes to the cache before it stops being pending", async () => {
  const { queue, pending, updates, batcher } = setUp({ size: 2, intervalMs: 1_000, max: 10 });
  for (const added of [entry(1), entry(2)]) {
    queue.add(added);
    pending.addDurable(added);
  }
  batcher.start();
  await settle();
  assert.deepEqual(updates, [[1, 2]]);
  assert.equal(pending.users, 0);
  await batcher.stop();
});

Deno.test("a flushed acknowledgement comes after the commit, or false when its time is up", async () => {
  const { clock, queue, batcher, store } = setUp();
  batcher.start();
  queue.add(entry(1));
  const inTime = batcher.whenFlushed(1, 10_000);
  await clock.advance(2_000);
  assert.equal(await inTime, true);
  store.failWith = new Error("down");
  queue.add(entry(2));
  const tooLate = batcher.whenFlushed(2, 10_000);
  await clock.advance(10_000);
  assert.equal(await tooLate, false);
  await batcher.stop();
});

Deno.test("draining flushes everything, and gives up where the store refuses", async () => {
  const { queue, store, batcher } = setUp();
  batcher.start();
  fill(queue, 1, 3);
  assert.equal(await batcher.drain(new AbortController().signal), true);
  assert.equal(store.rows.length, 3);
  store.failWith = new Error("down");
  fill(queue, 4, 5);
  assert.equal(await batcher.drain(new AbortController().signal), false);
  assert.equal(queue.stats().depth, 2);
  await batcher.stop();
});

Deno.test("stopping leaves no timer behind and answers those who wait", async () => {
  const { clock, queue, batcher } = setUp();
  batcher.start();
  queue.add(entry(1));
  const waiting = batcher.whenFlushed(1, 60_000);
  await batcher.stop();
  assert.equal(await waiting, false);
  assert.equal(clock.timers, 0);
});
