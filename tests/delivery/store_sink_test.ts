import assert from "node:assert/strict";
import { StoreSink } from "../../src/delivery/store_sink.ts";
import { StoreRefusesError, StoreWentBackError } from "../../src/errors.ts";
import type { Batch } from "../../src/ports/source.ts";
import { Log } from "../../src/telemetry/log.ts";
import { entry, FakeStore, idleMetrics, INSTANCE } from "../support/fakes.ts";
import { upTo } from "../support/delivery.ts";

const log = new Log("error", "json", () => {});
const metrics = idleMetrics();

function setUp(maxRows = 100) {
  const store = new FakeStore();
  const sink = new StoreSink(maxRows, { store, metrics, log });
  return { store, sink };
}

function batch(first: number, last: number): Batch {
  return { source: INSTANCE, entries: upTo(last, first).map((seq) => entry(seq)), lastSeq: last };
}

Deno.test(
  "after a failure half as many rows go at once, and twice as many after each " +
    "success",
  async () => {
    const { store, sink } = setUp(64);
    store.failWith = new Error("no answer within 5000 ms");
    for (let i = 0; i < 3; i++) await assert.rejects(sink.deliver(batch(1, 64)));
    store.failWith = undefined;
    await sink.deliver(batch(1, 64));
    assert.deepEqual(store.batches, [8, 16, 32, 8]);
  },
);

Deno.test(
  "a store that refuses every row gets as many as before: few are no proof " +
    "against the table",
  async () => {
    const { store, sink } = setUp(64);
    store.failWith = new StoreRefusesError("42501", "permission denied");
    for (let i = 0; i < 3; i++) await assert.rejects(sink.deliver(batch(1, 64)));
    assert.equal(sink.refusal, "permission denied");
    store.failWith = undefined;
    await sink.deliver(batch(1, 64));
    assert.equal(sink.refusal, undefined);
    assert.deepEqual(store.batches, [64]);
  },
);

Deno.test("a store that refuses to say what it has refuses, until it says it", async () => {
  const { store, sink } = setUp();
  store.failWith = new StoreRefusesError("wrong-store", "another database");
  await assert.rejects(sink.marks([INSTANCE]));
  assert.equal(sink.refusal, "another database");
  store.failWith = undefined;
  await sink.marks([INSTANCE]);
  assert.equal(sink.refusal, undefined);
});

Deno.test("a batch that has grown at its end goes on where it was", async () => {
  const { store, sink } = setUp(10);
  await sink.deliver(batch(1, 10));
  const { stored } = await sink.deliver(batch(1, 25));
  assert.deepEqual(store.batches, [10, 10, 5]);
  assert.deepEqual(stored.map(({ seq }) => seq), upTo(25));
});

Deno.test(
  "a mark below what was confirmed is told before anything is put behind the gap",
  async () => {
    const { store, sink } = setUp();
    await sink.deliver(batch(1, 10));
    store.tables.rows = [];
    store.markOf.set(INSTANCE, 5);
    await assert.rejects(sink.deliver(batch(11, 20)), StoreWentBackError);
    assert.deepEqual(store.rows, []);
    assert.deepEqual(await sink.marks([INSTANCE]), new Map([[INSTANCE, 5]]));
  },
);

Deno.test("what was put and is not there any more is put again, once", async () => {
  const { store, sink } = setUp(10);
  let puts = 0;
  const put = store.put.bind(store);
  store.put = (...args) => ++puts === 3 ? Promise.reject(new Error("cut")) : put(...args);
  await assert.rejects(sink.deliver(batch(1, 30)));
  store.tables.rows = store.rows.slice(0, 5);
  store.markOf.set(INSTANCE, 5);
  await sink.marks([INSTANCE]);
  const { stored } = await sink.deliver(batch(1, 30));
  assert.deepEqual(store.rows.map(({ seq }) => seq), upTo(30));
  assert.deepEqual(stored.map(({ seq }) => seq), upTo(30));
});

Deno.test("of what an earlier run brought there nobody says that it is a row", async () => {
  const { store, sink } = setUp();
  store.markOf.set(INSTANCE, 7);
  await sink.marks([INSTANCE]);
  const { stored, dead } = await sink.deliver(batch(1, 10));
  assert.deepEqual([stored.map(({ seq }) => seq), dead], [[8, 9, 10], []]);
});

Deno.test("after a failure nothing is put behind a gap, whoever asked for marks", async () => {
  const { store, sink } = setUp();
  await sink.deliver(batch(1, 10));
  store.failWith = new Error("connection refused");
  await assert.rejects(sink.deliver(batch(11, 20)));
  store.failWith = undefined;
  store.tables.rows = store.rows.slice(0, 5);
  store.markOf.set(INSTANCE, 5);
  await assert.rejects(sink.deliver(batch(11, 20)), StoreWentBackError);
  assert.deepEqual(store.rows.map(({ seq }) => seq), upTo(5));
});
