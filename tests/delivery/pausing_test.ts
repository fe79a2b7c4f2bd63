import assert from "node:assert/strict";
import { StoreUnavailableError } from "../../src/errors.ts";
import { batcherSetUp as setUp } from "../support/batchers.ts";
import { settle } from "../support/fake_clock.ts";

Deno.test("paused, it begins no flush until it is resumed, and begins one then", async () => {
  const { clock, delivery, batcher, pausing } = setUp();
  pausing.turn(true);
  batcher.start();
  delivery.unsettled = 35;
  batcher.notify();
  batcher.flushNow();
  await clock.advance(10_000);
  assert.deepEqual([batcher.state, delivery.steps], ["paused", 0]);
  pausing.turn(false);
  await settle();
  assert.equal(delivery.steps, 3, "the full batches");
  pausing.turn(true);
  assert.equal(batcher.state, "paused");
  pausing.turn(false);
  await settle();
  assert.deepEqual([batcher.state, delivery.unsettled], ["idle", 0], "and what is no full batch");
  await batcher.stop();
  assert.equal(clock.timers, 0);
});

Deno.test("a flush that is under way when it is paused ends, and what the sink has is settled", async () => {
  const { clock, delivery, batcher, pausing } = setUp();
  batcher.start();
  const gate = Promise.withResolvers<void>();
  delivery.gate = gate.promise;
  delivery.isAhead = true;
  delivery.unsettled = 100;
  batcher.notify();
  await settle();
  pausing.turn(true);
  assert.equal(batcher.state, "flushing");
  // Its own step, and the one that settles what was sent ahead.
  delivery.onStep = () => delivery.isAhead = delivery.steps < 2;
  gate.resolve();
  await settle();
  assert.deepEqual([batcher.state, delivery.steps], ["paused", 2]);
  assert.deepEqual(delivery.sentAhead, [true, false], "nothing more is sent ahead");
  await clock.advance(10_000);
  assert.equal(delivery.steps, 2);
  await batcher.stop();
});

Deno.test("paused while it backs off it tries nothing, and a drain flushes nothing", async () => {
  const { clock, delivery, batcher, pausing } = setUp();
  delivery.failWith = new StoreUnavailableError("down");
  batcher.start();
  delivery.unsettled = 10;
  batcher.notify();
  await settle();
  pausing.turn(true);
  delivery.failWith = undefined;
  await clock.advance(60_000);
  assert.deepEqual([batcher.state, delivery.steps], ["paused", 1]);
  assert.equal(await batcher.drain(new AbortController().signal), "paused");
  assert.deepEqual([delivery.steps, delivery.unsettled], [1, 10]);
  delivery.unsettled = 0;
  assert.equal(await batcher.drain(new AbortController().signal), "drained", "nothing is left");
  pausing.turn(false);
  assert.equal(batcher.state, "draining");
  await batcher.stop();
  assert.equal(clock.timers, 0);
});

Deno.test("a flush that is asked for waits for neither its time nor more rows", async () => {
  const { delivery, batcher } = setUp();
  batcher.start();
  delivery.unsettled = 3;
  batcher.flushNow();
  await settle();
  assert.deepEqual([batcher.state, delivery.unsettled], ["idle", 0]);
  delivery.failWith = new StoreUnavailableError("down");
  delivery.unsettled = 3;
  batcher.flushNow();
  await settle();
  assert.equal(batcher.state, "backing off");
  delivery.failWith = undefined;
  batcher.flushNow();
  await settle();
  assert.equal(delivery.unsettled, 0, "it does not wait for the next try either");
  await batcher.stop();
  batcher.flushNow();
  assert.equal(batcher.state, "stopped");
});
