import assert from "node:assert/strict";
import { createMemoryFlushSlots } from "../../src/adapters/memory/flush_slots.ts";
import {
  createRedisFlushSlots,
  PolledSlots,
  type RedisFlushSlotsOptions,
} from "../../src/adapters/redis/flush_slots.ts";
import { systemClock } from "../../src/ports/clock.ts";
import type { FlushSlots } from "../../src/ports/flush_slots.ts";
import { SimulatedSlotBoard } from "../simulation/slot_board.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import {
  REDIS_VERSIONS,
  redisCommand,
  type RedisServer,
  type RedisVersion,
  startRedis,
} from "../support/redis.ts";
import { delay } from "../support/services.ts";
import { flushSlotsContract, granted, isSettled, NEVER, STORE } from "./flush_slots_suite.ts";

/** Long enough for a busy machine; where a test is about silence it says how long. */
const PATIENT_MS = 10_000;
const LIVES = { slotLifeMs: 30_000, placeLifeMs: 2_000 };

flushSlotsContract("memory", ({ count, waitMs }) => {
  const slots = createMemoryFlushSlots({ count, waitMs, clock: systemClock });
  return { slots, peer: slots };
});

flushSlotsContract("simulated", ({ count, waitMs }) => {
  const board = new SimulatedSlotBoard({ ...LIVES, count }, () => performance.now());
  const parts = { board, waitMs, clock: systemClock, random: Math.random };
  return { slots: new PolledSlots(parts), peer: new PolledSlots(parts) };
});

const servers = new Map<RedisVersion, RedisServer>();

Deno.test.beforeAll(async () => {
  for (const version of REDIS_VERSIONS) servers.set(version, await startRedis({ version }));
});

Deno.test.afterAll(async () => {
  for (const server of servers.values()) await server.dispose();
});

function serverOf(version: RedisVersion): RedisServer {
  const server = servers.get(version);
  if (server === undefined) throw new Error(`Redis ${version} was not started`);
  return server;
}

function redisSlots(options: Partial<RedisFlushSlotsOptions> = {}): FlushSlots {
  return createRedisFlushSlots({
    url: serverOf("7").url,
    prefix: "",
    count: 1,
    waitMs: PATIENT_MS,
    callTimeoutMs: PATIENT_MS,
    ...options,
  });
}

for (const version of REDIS_VERSIONS) {
  flushSlotsContract(`redis ${version}`, (limits) => {
    const options = { ...limits, url: serverOf(version).url, prefix: `${crypto.randomUUID()}:` };
    return { slots: redisSlots(options), peer: redisSlots(options) };
  });
}

/** Two instances that share a prefix of their own. */
async function withPair(
  options: Partial<RedisFlushSlotsOptions>,
  run: (a: FlushSlots, b: FlushSlots) => Promise<void>,
): Promise<void> {
  const all = { prefix: `${crypto.randomUUID()}:`, ...options };
  const [a, b] = [redisSlots(all), redisSlots(all)];
  try {
    await run(a, b);
  } finally {
    await a.close();
    await b.close();
  }
}

Deno.test("redis: the slot of a holder that never gives it back expires", () =>
  withPair({ slotLifeMs: 600 }, async (a, b) => {
    const startedMs = performance.now();
    await granted(a);
    const next = await granted(b);
    assert.ok(performance.now() - startedMs > 590);
    next.release();
  }));

Deno.test("redis: one who waits and is not heard of any more holds up nobody behind it", async () => {
  await using proxy = FaultProxy.to(serverOf("7").port);
  const prefix = `${crypto.randomUUID()}:`;
  await withPair({ prefix, placeLifeMs: 600 }, async (a, b) => {
    const held = await granted(a);
    const url = proxy.urlOf(serverOf("7").url);
    const gone = redisSlots({ url, prefix, placeLifeMs: 600, callTimeoutMs: 200 });
    const waits = gone.acquire(STORE, NEVER);
    waits.catch(() => {}); // It is looked at below.
    assert.equal(await isSettled(waits), false);
    proxy.weather = "black hole";
    const behind = b.acquire(STORE, NEVER);
    await assert.rejects(waits, /Redis at/);
    held.release();
    (await behind)!.release();
    proxy.weather = "pass"; // Else it would never end.
    await gone.close();
  });
});

Deno.test("redis: each store has slots of its own", () =>
  withPair({}, async (a, b) => {
    const one = await granted(a);
    const other = await b.acquire("another-store", NEVER);
    assert.ok(other);
    one.release();
    other.release();
  }));

Deno.test("redis: once it is emptied, those who hold a slot are forgotten, and as many may come", async () => {
  await using server = await startRedis();
  await withPair({ url: server.url, count: 2 }, async (a, b) => {
    const before = [await granted(a), await granted(b)];
    await redisCommand(server.port, "FLUSHALL");
    const after = [await granted(a), await granted(b)];
    const beyond = a.acquire(STORE, NEVER);
    assert.equal(await isSettled(beyond), false);
    for (const slot of before) slot.release(); // It is not theirs any more.
    assert.equal(await isSettled(beyond), false);
    for (const slot of after) slot.release();
    (await beyond)!.release();
  });
});

Deno.test("redis: one that hangs is not waited for, before the first question and after it", async () => {
  await using server = await startRedis();
  await using proxy = FaultProxy.to(server.port);
  await withPair({ url: proxy.urlOf(server.url), callTimeoutMs: 200 }, async (a, b) => {
    (await granted(a)).release();
    const held = await granted(a);
    const waits = b.acquire(STORE, NEVER);
    waits.catch(() => {}); // It is looked at below.
    await delay(50);
    proxy.weather = "black hole";
    const startedMs = performance.now();
    await assert.rejects(waits, /Redis at/);
    await assert.rejects(a.acquire(STORE, NEVER), /Redis at/);
    assert.ok(performance.now() - startedMs < 2_000);
    proxy.weather = "pass"; // Else it would never end.
    held.release();
  });
});

Deno.test("redis: one that is away rejects at once, and is used again when it is back", async () => {
  await using server = await startRedis();
  await withPair({ url: server.url, callTimeoutMs: 2_000 }, async (a) => {
    (await granted(a)).release();
    await server.stop();
    await assert.rejects(a.acquire(STORE, NEVER), /Redis at/);
    const startedMs = performance.now();
    await assert.rejects(a.acquire(STORE, NEVER), /Redis at/);
    assert.ok(performance.now() - startedMs < 500);
    await server.start();
    for (;;) {
      const slot = await a.acquire(STORE, NEVER).catch(() => delay(50));
      if (slot !== undefined) return slot.release();
    }
  });
});

Deno.test("redis: a user who may not do what the slots need is told why", async () => {
  await using server = await startRedis({
    config: ["user app on >secret ~* &* +@all -zadd"],
  });
  await withPair({ url: server.url, username: "app", password: "secret" }, async (a) => {
    await assert.rejects(a.acquire(STORE, NEVER), /Redis at 127.0.0.1:\d+: .*/);
  });
});
