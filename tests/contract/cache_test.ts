import assert from "node:assert/strict";
import { createMemoryCache, type MemoryCacheOptions } from "../../src/adapters/memory/cache.ts";
import { createRedisCache } from "../../src/adapters/redis/cache.ts";
import type { Cache } from "../../src/ports/cache.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { SimulatedCache } from "../simulation/cache.ts";
import { Driver } from "../simulation/driven.ts";
import { SimulatedClock, World } from "../simulation/world.ts";
import { FakeCache } from "../support/fake_cache.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { entry } from "../support/fakes.ts";
import { fillIn } from "../support/fill_in.ts";
import {
  REDIS_VERSIONS,
  type RedisServer,
  type RedisVersion,
  startRedis,
} from "../support/redis.ts";
import { cacheContract, type CacheUnderTest } from "./cache_suite.ts";

const MAX_BYTES = 64 * 1024 * 1024;

function memoryCache(options: Partial<MemoryCacheOptions> = {}): Cache {
  return createMemoryCache({
    maxEntries: 1_000,
    maxBytes: MAX_BYTES,
    ttlMs: 60_000,
    clock: systemClock,
    ...options,
  });
}

cacheContract("memory", (ttlMs) => ({ cache: memoryCache({ ttlMs }), peer: undefined }));

cacheContract("simulated", (ttlMs) => {
  const world = new World(20_240_607);
  const server = new SimulatedCache(world, ttlMs, 10_000);
  const driver = new Driver(world);
  const make = () => {
    const process = { alive: true };
    const clock = new SimulatedClock(world, process, () => 0);
    return driver.cache(server.client(process, { namespace: () => "ns", clock }));
  };
  return { cache: make(), peer: make() };
});

cacheContract("fake", () => ({ cache: new FakeCache(), peer: undefined }), { expires: false });

Deno.test(
  "memory: an own write does not make longer for how long a comparison with the " +
    "store is good",
  async () => {
    const clock = new FakeClock();
    const cache = memoryCache({ completeMs: 1_000, clock });
    await fillIn(cache, [entry(1, { userId: "u" })]);
    for (let seq = 2; seq < 6; seq++) {
      await clock.advance(300);
      await cache.update([entry(seq, { userId: "u" })]);
      assert.equal((await cache.get("u"))?.complete, (seq - 1) * 300 < 1_000, `of entry ${seq}`);
    }
    assert.equal((await cache.get("u"))?.entry.seq, 5);
    await fillIn(cache, [entry(4, { userId: "u" })]);
    assert.deepEqual(await cache.get("u"), {
      entry: entry(5, { userId: "u" }),
      complete: true,
      source: "local",
    });
  },
);

for (const version of REDIS_VERSIONS) {
  for (const [copies, maxEntries] of [["with", 10_000], ["without", 0]] as const) {
    cacheContract(
      `redis ${version} ${copies} local copies`,
      (ttlMs) => redisPair(urlOf(version), ttlMs, maxEntries),
    );
  }
}

const servers = new Map<RedisVersion, RedisServer>();

Deno.test.beforeAll(async () => {
  for (const version of REDIS_VERSIONS) servers.set(version, await startRedis({ version }));
});

Deno.test.afterAll(async () => {
  for (const server of servers.values()) await server.dispose();
});

function urlOf(version: RedisVersion): string {
  const server = servers.get(version);
  if (server === undefined) throw new Error(`Redis ${version} was not started`);
  return server.url;
}

/** Two instances on one server, under a prefix of their own. */
function redisPair(url: string, ttlMs: number, maxEntries: number): CacheUnderTest {
  const prefix = `${crypto.randomUUID()}:`;
  const local = { maxEntries, maxBytes: MAX_BYTES };
  // The contract is not about speed: a busy machine may take its time.
  const make = () =>
    createRedisCache({ url, prefix, namespace: () => "ns", ttlMs, local, callTimeoutMs: 10_000 });
  return { cache: make(), peer: make() };
}

Deno.test("memory: an entry's time starts again when it is set, not when it is read", async () => {
  const clock = new FakeClock();
  const cache = memoryCache({ ttlMs: 100, clock });
  await fillIn(cache, [entry(1)]);
  await clock.advance(90);
  await cache.update([entry(1)]);
  await clock.advance(90);
  assert.equal((await cache.get("user1"))?.complete, true);
  await clock.advance(11);
  assert.equal(await cache.get("user1"), undefined);
});

Deno.test("memory: what expired counts for nothing in the next write", async () => {
  const clock = new FakeClock();
  const cache = memoryCache({ ttlMs: 100, clock });
  await fillIn(cache, [entry(2, { userId: "u" })]);
  await clock.advance(101);
  await cache.update([entry(1, { userId: "u" })]);
  const found = await cache.get("u");
  assert.deepEqual([found?.entry.seq, found?.complete], [1, false]);
});

Deno.test("memory: at the limit of entries the one used longest ago is forgotten", async () => {
  const cache = memoryCache({ maxEntries: 2 });
  await cache.update([entry(1), entry(2)]);
  await cache.get("user1");
  await cache.update([entry(3)]);
  assert.deepEqual(await present(cache, ["user1", "user2", "user3"]), ["user1", "user3"]);
});

Deno.test(
  "memory: at the limit of bytes the one used longest ago is forgotten, and what " +
    "is too large is not kept",
  async () => {
    const cache = memoryCache({ maxBytes: 9_000 });
    const large = (seq: number) => entry(seq, { value: "x".repeat(1_500) });
    await cache.update([large(1), large(2), large(3)]);
    assert.deepEqual(await present(cache, ["user1", "user2", "user3"]), ["user2", "user3"]);
    await cache.update([entry(4, { userId: "user3", value: "x".repeat(10_000) })]);
    assert.deepEqual(await present(cache, ["user2", "user3"]), ["user2"]);
  },
);

Deno.test("memory: setting the machine's clock makes no entry expire", async () => {
  const clock = new FakeClock();
  const cache = memoryCache({ ttlMs: 100, clock });
  await fillIn(cache, [entry(1)]);
  clock.step(3_600_000);
  assert.equal((await cache.get("user1"))?.complete, true);
});

Deno.test("memory: a cache of no entries stores nothing", async () => {
  const cache = memoryCache({ maxEntries: 0 });
  await cache.token();
  await fillIn(cache, [entry(1)]);
  assert.equal(await cache.get("user1"), undefined);
  await cache.close();
});

async function present(
  cache: CacheUnderTest["cache"],
  userIds: readonly string[],
): Promise<string[]> {
  const found = await Promise.all(userIds.map((userId) => cache.get(userId)));
  return userIds.filter((_, index) => found[index] !== undefined);
}
