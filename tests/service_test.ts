import assert from "node:assert/strict";
import { AppError, StoreUnavailableError } from "../src/errors.ts";
import { settle } from "./support/fake_clock.ts";
import { GRACE_MS, ServiceFixture } from "./support/service.ts";

const CLOSED = [
  "attendants closed",
  "cache note closed",
  "journal closed",
  "cache closed",
  "store closed",
];

const CLEAN_STOP = [
  "not ready",
  "requests finished",
  "drained",
  "delivery stopped",
  "intake stopped",
  ...CLOSED,
  "stopped",
];

Deno.test("a clean start", async () => {
  const up = new ServiceFixture();
  assert.equal(up.service.phase, "starting");
  assert.equal(await up.service.start(), "http://127.0.0.1:8080");
  assert.deepEqual(up.events, [
    "listening",
    "journal open",
    "store admitted",
    "intake started",
    "delivery started",
    "ready",
  ]);
  assert.equal(up.service.phase, "serving");
  await up.stop();
});

Deno.test("a clean stop", async () => {
  const up = new ServiceFixture();
  await up.start();
  const stopping = up.stop();
  assert.deepEqual(up.events, ["not ready"], "who asks is told before anybody is turned away");
  assert.equal(up.service.phase, "draining");
  await stopping;
  assert.deepEqual(up.events, CLEAN_STOP);
  assert.equal(up.clock.timers, 0);
});

Deno.test(
  "a stop under load: requests finish, those that wait for the store too, and " +
    "what they wrote is flushed",
  async () => {
    const up = new ServiceFixture();
    await up.start();
    await up.write("before");
    const waiting = up.write("flushed", "flushed");
    const late = Promise.withResolvers<void>();
    const slow = up.front.carryOut(async ({ intake }) => {
      await late.promise;
      return await intake.write({ userId: "late", value: "v", ts: 1_000 }, "durable");
    });
    const stopping = up.service.stop();
    // After all that was there is flushed, and before anybody looks whether requests are done.
    await up.clock.advance(510);
    late.resolve();
    await settle();
    await up.clock.advance(1_000);
    await stopping;
    assert.deepEqual([(await waiting).ack, (await slow).ack], ["flushed", "durable"]);
    assert.deepEqual(up.store.rows.map(({ userId }) => userId), ["before", "flushed", "late"]);
    assert.deepEqual(up.events, CLEAN_STOP);
  },
);

Deno.test(
  "a stop with the store away: who waits for it is answered, what is left is in " +
    "the journal",
  async () => {
    const up = new ServiceFixture();
    await up.start();
    up.store.failWith = new StoreUnavailableError("connection refused");
    const waiting = up.write("u", "flushed");
    const startedMs = up.clock.monotonicMs();
    await up.stop();
    assert.ok(up.clock.monotonicMs() - startedMs < 2_000, "nobody waits for what will not come");
    assert.equal((await waiting).ack, "durable");
    assert.deepEqual(up.events, [
      "not ready",
      "delivery stopped",
      "requests finished",
      "not drained",
      "intake stopped",
      ...CLOSED,
      "stopped",
    ]);
    const next = new ServiceFixture(up.fs);
    await next.start();
    await next.clock.advance(2_000);
    assert.equal(next.store.rows.length, 1);
    await next.stop();
  },
);

Deno.test("a stop with a store that never answers ends with its grace time", async () => {
  const up = new ServiceFixture();
  await up.start();
  const never = Promise.withResolvers<never>();
  await up.write("u");
  up.store.put = () => never.promise;
  const startedMs = up.clock.monotonicMs();
  await up.stop();
  assert.ok(up.clock.monotonicMs() - startedMs <= GRACE_MS);
  assert.deepEqual(up.events.slice(0, 5), [
    "not ready",
    "requests finished",
    "flush given up",
    "delivery stopped",
    "not drained",
  ]);
  assert.deepEqual(up.events.slice(-CLOSED.length - 1), [...CLOSED, "stopped"]);
});

Deno.test("a stop with a request that is never done ends with its grace time", async () => {
  const up = new ServiceFixture();
  await up.start();
  void up.front.carryOut(() => new Promise(() => {}));
  const startedMs = up.clock.monotonicMs();
  await up.stop();
  assert.ok(up.clock.monotonicMs() - startedMs <= GRACE_MS + 1_000);
  assert.ok(up.events.includes("requests given up"));
  assert.deepEqual(up.events.slice(-CLOSED.length - 1), [...CLOSED, "stopped"]);
});

Deno.test("a front that cannot be closed keeps nothing behind it from being flushed", async () => {
  const up = new ServiceFixture();
  await up.start();
  await up.write("u");
  up.front.close = () => Promise.reject(new Error("EMFILE"));
  await up.stop();
  assert.equal(up.store.rows.length, 1);
  assert.deepEqual(up.events, [
    "not ready",
    "requests given up",
    "drained",
    "delivery stopped",
    "intake stopped",
    ...CLOSED,
    "stopped",
  ]);
});

Deno.test("a failed start closes what there is, even when its front cannot be closed", async () => {
  const up = new ServiceFixture(undefined, {
    admitStore: () => Promise.reject(new Error("another store")),
  });
  up.front.close = () => Promise.reject(new Error("EMFILE"));
  await assert.rejects(up.service.start(), /another store/);
  assert.deepEqual(up.events.slice(-4), CLOSED.slice(1));
});

Deno.test("a stop while it starts leaves nothing open", async () => {
  const admitted = Promise.withResolvers<void>();
  const up = new ServiceFixture(undefined, { admitStore: () => admitted.promise });
  const starting = up.service.start();
  await settle();
  const stopping = up.stop();
  await settle();
  assert.equal(up.service.phase, "draining");
  admitted.resolve();
  await starting;
  await stopping;
  assert.equal(up.service.phase, "draining");
  assert.equal(up.service.outward, undefined);
  assert.deepEqual(up.events.slice(-CLOSED.length - 1), [...CLOSED, "stopped"]);
  assert.equal(up.clock.timers, 0);
});

Deno.test("a start whose port is taken closes what there is, and says why", async () => {
  const up = new ServiceFixture();
  up.front.failWith = new Error("Cannot listen on 0.0.0.0:8080: address in use");
  await assert.rejects(up.service.start(), /address in use/);
  assert.deepEqual(up.events, ["start failed", "cache closed", "store closed"]);
  assert.equal(up.clock.timers, 0);
});

Deno.test(
  "a start whose journal another process has closes what there is, and says why",
  async () => {
    const up = new ServiceFixture();
    await up.start();
    const second = new ServiceFixture(up.fs);
    await assert.rejects(
      second.service.start(),
      (error: unknown) => error instanceof AppError && error.code === "journal-failed",
    );
    assert.deepEqual(second.events, [
      "listening",
      "start failed",
      "requests finished",
      "intake stopped",
      "cache closed",
      "store closed",
    ]);
    await up.stop();
  },
);

Deno.test("a start that finds another store than is meant closes the journal again", async () => {
  const up = new ServiceFixture(undefined, {
    admitStore: () => Promise.reject(new Error("another database")),
  });
  await assert.rejects(up.service.start(), /another database/);
  assert.deepEqual(up.events, [
    "listening",
    "journal open",
    "start failed",
    "requests finished",
    "intake stopped",
    "cache note closed",
    "journal closed",
    "cache closed",
    "store closed",
  ]);
  const next = new ServiceFixture(up.fs);
  await next.start();
  await next.stop();
});

Deno.test(
  "every part is closed though another's closing fails, and the first failure is " +
    "reported",
  async () => {
    const up = new ServiceFixture();
    await up.start();
    up.cache.close = () => Promise.reject(new Error("the connection is stuck"));
    up.store.close = () => Promise.reject(new Error("the pool is stuck"));
    await assert.rejects(up.stop(), /the connection is stuck/);
    assert.deepEqual(up.events.slice(-6), [
      "attendants closed",
      "cache note closed",
      "journal closed",
      "cache not closed",
      "store not closed",
      "stopped",
    ]);
    assert.equal(up.lines.filter((line) => line.includes("could not be closed")).length, 2);
  },
);

Deno.test(
  "delivery stops and starts alone: meanwhile writes are accepted and read, and " +
    "wait",
  async () => {
    const up = new ServiceFixture();
    await up.start();
    await up.service.stopDelivery();
    await up.write("u");
    await up.clock.advance(10_000);
    assert.equal(up.store.rows.length, 0);
    const read = await up.front.carryOut(({ reader }) => reader.read("u"));
    assert.equal(read?.source, "pending");
    up.service.startDelivery();
    await up.clock.advance(2_000);
    assert.equal(up.store.rows.length, 1);
    assert.deepEqual(up.events, ["delivery stopped", "delivery started"]);
    await up.stop();
  },
);

Deno.test(
  "intake stops and starts alone: meanwhile what is in the journal is delivered",
  async () => {
    const up = new ServiceFixture();
    await up.start();
    await up.write("u");
    await up.service.stopIntake();
    await assert.rejects(up.write("v"), /shutting down/);
    await up.clock.advance(2_000);
    assert.equal(up.store.rows.length, 1);
    await up.service.startIntake();
    await up.write("v");
    await up.clock.advance(2_000);
    assert.equal(up.store.rows.length, 2);
    assert.deepEqual(up.events, [
      "requests finished",
      "intake stopped",
      "listening",
      "intake started",
    ]);
    await up.stop();
  },
);
