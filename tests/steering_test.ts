import assert from "node:assert/strict";
import { AppError } from "../src/errors.ts";
import { PauseSwitch } from "../src/pause_switch.ts";
import { Steering } from "../src/steering.ts";
import { settle } from "./support/fake_clock.ts";
import { ServiceFixture } from "./support/service.ts";

function steered() {
  const up = new ServiceFixture();
  const { clock, pausing, service } = up;
  const gauge: number[] = [];
  const metrics = { paused: { set: (value: number) => gauge.push(value) } } as never;
  const steering = new Steering({ pausing, clock, metrics, service: () => service });
  return { up, steering, gauge, clock, store: up.store };
}

Deno.test("a flush is answered when the store has what was durable, or says after a while that it has not", async () => {
  const { up, steering, clock, store } = steered();
  await assert.rejects(
    steering.flush(),
    (error) => error instanceof AppError && error.code === "not-ready",
  );
  await up.start();
  await up.write("a");
  const flushed = steering.flush();
  await clock.advance(100);
  assert.equal(await flushed, true);
  assert.deepEqual(store.rows.map(({ userId }) => userId), ["a"]);
  store.failWith = new Error("away");
  await up.write("b");
  const late = steering.flush();
  for (let i = 0; i < 110; i++) await clock.advance(100);
  assert.deepEqual([await late, steering.waiting], [false, 1]);
  store.failWith = undefined;
  await up.stop();
  assert.equal(store.rows.length, 2);
});

Deno.test("a stop while paused flushes nothing, and answers who waits for a flush", async () => {
  const { up, steering, gauge, store } = steered();
  await up.start();
  assert.equal(steering.description, undefined);
  assert.equal(await steering.pause(), true, "nothing was under way");
  assert.match(steering.description!, /^paused since .*resume/);
  const waiting = up.write("waits", "flushed");
  await settle();
  await up.stop();
  assert.equal((await waiting).ack, "durable");
  assert.deepEqual([store.rows.length, up.service.status?.depth], [0, 1]);
  assert.ok(up.events.includes("not drained"));
  assert.equal(up.clock.timers, 0);
  steering.resume();
  assert.deepEqual([gauge, steering.pausedMs], [[1, 0], undefined]);
});

Deno.test("a drain also brings what becomes durable meanwhile, and a worker has none", async () => {
  const { up, steering, clock, store } = steered();
  await up.start();
  const writes = Promise.all([up.write("a"), up.write("b")]);
  const drained = steering.drain();
  for (let i = 0; i < 5; i++) await clock.advance(50);
  assert.deepEqual([await drained, (await writes).length, store.rows.length], [true, 2, 2]);
  await assert.rejects(
    up.write("late"),
    (error) => error instanceof AppError && error.code === "shutting-down",
  );
  assert.match(steering.refusal!, /^drained/);
  steering.resume();
  await up.write("again");
  const pausing = new PauseSwitch();
  const worker = new Steering({
    ...{ pausing, clock, metrics: {} as never },
    service: () => ({ outward: undefined, status: undefined }),
  });
  await assert.rejects(
    worker.drain(),
    (error) => error instanceof AppError && error.code === "no-such-path",
  );
  await steering.pause();
  await assert.rejects(
    steering.drain(),
    (error) => error instanceof AppError && error.code === "paused",
  );
  assert.equal(steering.refusal, undefined, "nothing was drained");
  await up.stop();
});
