import assert from "node:assert/strict";
import { StoreUnavailableError } from "../../src/errors.ts";
import { batcherSetUp as setUp } from "../support/batchers.ts";
import { settle } from "../support/fake_clock.ts";

Deno.test("what the batcher does has a name at each moment", async () => {
  const { clock, delivery, batcher } = setUp();
  assert.equal(batcher.state, "stopped");
  batcher.start();
  assert.equal(batcher.state, "idle");
  const gate = Promise.withResolvers<void>();
  delivery.gate = gate.promise;
  delivery.unsettled = 10;
  batcher.notify();
  assert.equal(batcher.state, "flushing");
  gate.resolve();
  await settle();
  assert.equal(batcher.state, "idle");
  delivery.failWith = new Error("down");
  delivery.unsettled = 10;
  batcher.notify();
  await settle();
  assert.equal(batcher.state, "backing off");
  delivery.failWith = undefined;
  await clock.advance(200);
  assert.equal(batcher.state, "idle");
  const draining = batcher.drain(new AbortController().signal);
  assert.equal(batcher.state, "draining");
  await draining;
  await batcher.stop();
  assert.equal(batcher.state, "stopped");
});

Deno.test("a full batch is flushed at once, others wait for the interval", async () => {
  const { clock, delivery, batcher } = setUp();
  batcher.start();
  delivery.unsettled = 9;
  batcher.notify();
  await clock.advance(1_999);
  assert.equal(delivery.steps, 0);
  await clock.advance(1);
  assert.equal(delivery.steps, 1);
  delivery.unsettled = 10;
  batcher.notify();
  await settle();
  assert.equal(delivery.steps, 2);
  await batcher.stop();
});

Deno.test("a backlog is flushed until less than a batch is left", async () => {
  const { delivery, batcher } = setUp();
  delivery.unsettled = 47;
  batcher.start();
  await settle();
  assert.deepEqual([delivery.steps, delivery.unsettled], [4, 7]);
  await batcher.stop();
});

/** A flush of a full batch was begun a moment ago. */
async function underLoad(options: Parameters<typeof setUp>[0] = {}) {
  const up = setUp(options);
  up.delivery.settles = 10;
  up.delivery.unsettled = 10;
  up.batcher.start();
  await settle();
  assert.equal(up.delivery.steps, 1);
  return up;
}

/** Lets a batch grow by an entry a millisecond; returns after how many of them it is flushed. */
async function msUntilFlushed({ clock, delivery, batcher }: Awaited<ReturnType<typeof underLoad>>) {
  delivery.unsettled = 10;
  batcher.notify();
  assert.equal(batcher.state, "gathering");
  for (let ms = 1;; ms++) {
    delivery.unsettled++;
    await clock.advance(1);
    if (delivery.steps > 1) return ms;
    assert.ok(ms < 1_000, "it is not flushed");
  }
}

Deno.test("under load a full batch grows for 200 ms, so that flushes are few and large", async () => {
  const up = await underLoad();
  assert.equal(await msUntilFlushed(up), 200);
  await up.batcher.stop();
});

Deno.test("a batch for which somebody waits grows for 20 ms only", async () => {
  const up = await underLoad();
  up.waiters.isAwaited = true;
  assert.equal(await msUntilFlushed(up), 20);
  await up.batcher.stop();
});

Deno.test("a batch does not grow for longer than the interval", async () => {
  const up = await underLoad({ intervalMs: 50 });
  assert.equal(await msUntilFlushed(up), 50);
  await up.batcher.stop();
});

Deno.test("a batch that does not grow is flushed when somebody waits for it", async () => {
  const { clock, delivery, batcher, waiters } = await underLoad();
  delivery.unsettled = 10;
  batcher.notify();
  await clock.advance(100);
  assert.equal(delivery.steps, 1);
  waiters.isAwaited = true;
  await clock.advance(2);
  assert.equal(delivery.steps, 2);
  await batcher.stop();
});

Deno.test("a batch that is large enough does not wait, and neither does one after a pause", async () => {
  const { clock, delivery, batcher } = await underLoad({ max: 100 });
  delivery.unsettled = 100;
  batcher.notify();
  await settle();
  assert.ok(delivery.steps > 1, "it is of the largest size");
  delivery.unsettled = 0;
  await clock.advance(200);
  const { steps } = delivery;
  delivery.unsettled = 10;
  batcher.notify();
  await settle();
  assert.equal(delivery.steps, steps + 1);
  await batcher.stop();
});

Deno.test("between two flushes of a backlog it rests while clients write", async () => {
  const { clock, delivery, batcher } = setUp({ max: 10 });
  delivery.settles = 10;
  delivery.unsettled = 1_000;
  const { step } = delivery;
  delivery.step = async () => {
    await new Promise<void>((resolve) => clock.setTimeout(resolve, 30));
    delivery.unsettled++;
    return await step.call(delivery);
  };
  batcher.start();
  await clock.advance(60);
  assert.deepEqual([delivery.steps, batcher.state], [2, "resting"]);
  await clock.advance(29);
  assert.equal(batcher.state, "resting");
  await clock.advance(1);
  assert.equal(batcher.state, "flushing");
  const stopping = batcher.stop();
  await clock.advance(30);
  await stopping;
});

Deno.test("a batch that gathers is drained at once, and no timer is left behind", async () => {
  const { clock, delivery, batcher } = await underLoad();
  delivery.unsettled = 10;
  batcher.notify();
  assert.equal(await batcher.drain(new AbortController().signal), "drained");
  assert.deepEqual([delivery.steps, clock.timers], [2, 0]);
  await batcher.stop();
});

Deno.test("what waits and is not durable yet does not make it flush in circles", async () => {
  const { delivery, batcher } = setUp();
  delivery.step = () => {
    delivery.steps++;
    return Promise.resolve(undefined);
  };
  delivery.unsettled = 50;
  batcher.start();
  await settle();
  assert.equal(delivery.steps, 1);
  await batcher.stop();
});

Deno.test("retries back off up to a cap instead of hammering a store that is down", async () => {
  const { clock, delivery, batcher } = setUp();
  delivery.failWith = new Error("down");
  delivery.rowsInHand = 10;
  delivery.unsettled = 10;
  batcher.start();
  await settle();
  const waits: number[] = [];
  let lastMs = clock.monotonicMs();
  for (let seen = 1; waits.length < 8;) {
    await clock.advance(10);
    if (delivery.steps === seen) continue;
    seen = delivery.steps;
    waits.push(clock.monotonicMs() - lastMs);
    lastMs = clock.monotonicMs();
  }
  // Half of each bound, as the chance is 0.5: of 200 ms, doubled up to 5 s.
  assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 2_500, 2_500, 2_500]);
  await batcher.stop();
});

Deno.test("a success begins the waits anew, and is told", async () => {
  const { clock, delivery, batcher, lines } = setUp();
  delivery.failWith = new Error("down");
  delivery.rowsInHand = 10;
  delivery.unsettled = 10;
  batcher.start();
  await settle();
  await clock.advance(1_000);
  assert.equal(delivery.steps, 4);
  delivery.failWith = undefined;
  await clock.advance(1_000);
  assert.equal(delivery.unsettled, 0);
  delivery.failWith = new Error("down again");
  delivery.unsettled = 10;
  batcher.notify();
  await settle();
  const { steps } = delivery;
  await clock.advance(100);
  assert.equal(delivery.steps, steps + 1);
  const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(told.map(({ event }) => event), ["flush-failed", "store-back"]);
  assert.deepEqual([told[0]!.waiting, told[0]!.error, told[1]!.failures], [10, "down", 4]);
  assert.ok(Number(told[1]!.lastedMs) >= 1_000, lines[1]!);
  await batcher.stop();
});

Deno.test("a drain flushes everything, and gives up with the first failure", async () => {
  const { delivery, batcher } = setUp();
  batcher.start();
  delivery.unsettled = 7;
  assert.equal(await batcher.drain(new AbortController().signal), "drained");
  assert.deepEqual([delivery.steps, delivery.unsettled], [1, 0]);
  delivery.failWith = new Error("down");
  delivery.unsettled = 7;
  assert.equal(await batcher.drain(new AbortController().signal), "failed");
  assert.equal(delivery.steps, 2);
  await batcher.stop();
});

Deno.test("a drain ends with its time, though the store keeps a flush waiting", async () => {
  const { delivery, batcher } = setUp();
  const late = Promise.withResolvers<void>();
  batcher.start();
  delivery.gate = late.promise;
  delivery.unsettled = 3;
  const time = new AbortController();
  const drained = batcher.drain(time.signal);
  await settle();
  time.abort();
  assert.equal(await drained, "time is up");
  let stopped = false;
  const stopping = batcher.stop().then(() => stopped = true);
  await settle();
  assert.equal(stopped, false, "the flush is still under way");
  late.resolve();
  await stopping;
  assert.equal(delivery.steps, 1);
});

Deno.test(
  "a drain waits for the flush that is under way, and does not begin a second " +
    "beside it",
  async () => {
    const { delivery, batcher } = setUp();
    const gate = Promise.withResolvers<void>();
    delivery.gate = gate.promise;
    delivery.unsettled = 15;
    batcher.start();
    const drained = batcher.drain(new AbortController().signal);
    await settle();
    assert.equal(delivery.steps, 1);
    gate.resolve();
    assert.equal(await drained, "drained");
    assert.deepEqual([delivery.steps, delivery.unsettled], [2, 0]);
    await batcher.stop();
  },
);

Deno.test("once stopped nothing is flushed any more, and no timer is left behind", async () => {
  const { clock, delivery, batcher } = setUp();
  delivery.failWith = new Error("down");
  delivery.unsettled = 10;
  batcher.start();
  await settle();
  await batcher.stop();
  delivery.failWith = undefined;
  batcher.notify();
  await clock.advance(60_000);
  assert.deepEqual([delivery.steps, clock.timers], [1, 0]);
});

Deno.test("a drain that is stopped begins no further flush", async () => {
  const { delivery, batcher } = setUp();
  const gate = Promise.withResolvers<void>();
  delivery.gate = gate.promise;
  delivery.unsettled = 50;
  batcher.start();
  const draining = batcher.drain(new AbortController().signal);
  const stopping = batcher.stop();
  gate.resolve();
  await stopping;
  assert.equal(await draining, "failed");
  assert.equal(delivery.steps, 1);
});

Deno.test("a journal that cannot be read is told, though nothing is in hand", async () => {
  const { clock, delivery, batcher, lines } = setUp();
  delivery.unsettled = 10;
  delivery.failWith = new StoreUnavailableError("connection refused");
  batcher.start();
  await settle();
  assert.deepEqual(lines, [], "those that ask the store tell of it");
  delivery.failWith = new Error("EIO: 0000000000000001.seg");
  await clock.advance(5_000);
  assert.match(lines[0]!, /A flush failed.*EIO/);
  await batcher.stop();
});
