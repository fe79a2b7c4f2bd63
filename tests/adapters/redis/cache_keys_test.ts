/** What is particular to the cache in Redis: a user's two keys, and what others do to them. */
import assert from "node:assert/strict";
import crc32c from "crc-32/crc32c";
import { createClient } from "@redis/client";
import type { Cache } from "../../../src/ports/cache.ts";
import { entry } from "../../support/fakes.ts";
import { fillIn, offer } from "../../support/fill_in.ts";
import { sharedRedisUrl } from "../../support/redis.ts";
import { makeRedisCache, TTL_MS } from "../../support/redis_caches.ts";

const USER = "user1";
const [v1, v2, v3] = [1, 2, 3].map((seq) => entry(seq, { userId: USER })) as [Entry, Entry, Entry];
type Entry = ReturnType<typeof entry>;

type RawClient = Awaited<ReturnType<typeof connectRaw>>;

/** Sees what is really there. */
function connectRaw(url: string) {
  return createClient({ url }).connect();
}

/** A cache on the shared server under a prefix of its own. */
function testKeys(
  behaviour: string,
  run: (cache: Cache, raw: RawClient, keys: Keys) => Promise<void>,
): void {
  Deno.test(behaviour, async () => {
    const prefix = `${crypto.randomUUID()}:`;
    const keys = { prefix, value: prefix + USER, version: `${prefix}{${prefix}${USER}}\0v` };
    const raw = await connectRaw(sharedRedisUrl());
    const cache = makeRedisCache({ url: sharedRedisUrl(), prefix });
    try {
      await run(cache, raw, keys);
    } finally {
      await cache.close();
      raw.destroy();
    }
  });
}

interface Keys {
  readonly prefix: string;
  readonly value: string;
  readonly version: string;
}

testKeys(
  "GET shows the plain value, and both keys live for the given time",
  async (cache, raw, keys) => {
    await cache.update([v1]);
    assert.equal(await raw.get(keys.value), "value1");
    const info = await raw.sendCommand<string>(["INFO"]);
    const [, run] = /^run_id:([0-9a-f]{4})/m.exec(info)!;
    const [, history] = /^master_replid:([0-9a-f]{4})/m.exec(info)!;
    const checksum = (crc32c.str("value1") >>> 0).toString(16).padStart(8, "0");
    const version = `0000000000001000${"0".repeat(15)}1instance0001${"0".repeat(15)}1`;
    assert.equal(await raw.get(keys.version), `${version}${checksum}0${run}${history}ns`);
    for (const key of [keys.value, keys.version]) {
      const leftMs = await raw.pTTL(key);
      assert.ok(leftMs > 0 && leftMs <= TTL_MS, `${leftMs} ms left`);
    }
  },
);

testKeys(
  "setting an entry again gives both keys their full lifetime again",
  async (cache, raw, keys) => {
    for (const again of [v1, v2]) {
      await fillIn(cache, [v1]);
      for (const key of [keys.value, keys.version]) await raw.pExpire(key, 5_000);
      await cache.update([again]);
      for (const key of [keys.value, keys.version]) assert.ok(await raw.pTTL(key) > 5_000);
    }
  },
);

testKeys("each user has two keys, and nothing else is written", async (cache, raw, keys) => {
  await cache.update([v1, entry(2, { userId: "a}b" }), entry(3, { userId: "{a}b" })]);
  const names: string[] = [];
  for await (const page of raw.scanIterator({ MATCH: `*${keys.prefix}*`, COUNT: 1_000 })) {
    names.push(...page);
  }
  const { prefix } = keys;
  const others = [`${prefix}a}b`, `${prefix}a}b\0t`, `${prefix}{a}b`, `${prefix}{a}b\0t`];
  assert.deepEqual(new Set(names), new Set([keys.value, keys.version, ...others]));
});

testKeys(
  "a value that someone else set is a miss, and the next write replaces it",
  async (cache, raw, keys) => {
    await raw.set(keys.value, "foreign");
    assert.equal(await cache.get(USER), undefined);
    await cache.update([v1]);
    assert.deepEqual((await cache.get(USER))?.entry, v1);
    assert.ok(await raw.pTTL(keys.value) > 0);
  },
);

testKeys(
  "a version that cannot be read is a miss, and the next write replaces it",
  async (cache, raw, keys) => {
    for (const unreadable of ["", "9", "x".repeat(69), "-".repeat(69), "9".repeat(200)]) {
      await fillIn(cache, [v2]);
      await raw.set(keys.version, unreadable);
      assert.equal(await cache.get(USER), undefined);
      await cache.update([v1]);
      assert.deepEqual(await cache.get(USER), { entry: v1, complete: false, source: "redis" });
    }
  },
);

testKeys(
  "a version of another type is a miss, and the next write replaces it",
  async (cache, raw, keys) => {
    await raw.rPush(keys.version, ["a", "b"]);
    assert.equal(await cache.get(USER), undefined);
    await cache.update([v1]);
    assert.deepEqual((await cache.get(USER))?.entry, v1);
  },
);

testKeys(
  "a value that someone else puts over ours is a miss, and the next write replaces it",
  async (cache, raw, keys) => {
    for (const complete of [false, true]) {
      await offer(cache, v1, complete);
      await raw.set(keys.value, "foreign");
      assert.equal(await cache.get(USER), undefined);
      await fillIn(cache, [v1]);
      assert.deepEqual(await cache.get(USER), { entry: v1, complete: true, source: "redis" });
    }
  },
);

testKeys(
  "when only the value was evicted, its version still keeps older entries out",
  async (cache, raw, keys) => {
    for (const restored of [v2, v3]) {
      await cache.update([v2]);
      await raw.del(keys.value);
      assert.equal(await cache.get(USER), undefined);
      for (const complete of [false, true]) {
        await offer(cache, v1, complete);
        assert.equal(await cache.get(USER), undefined);
      }
      await cache.update([restored]);
      assert.deepEqual(await cache.get(USER), {
        entry: restored,
        complete: false,
        source: "redis",
      });
    }
  },
);

testKeys(
  "when only the version was evicted, the value is a miss until the next write",
  async (cache, raw, keys) => {
    await fillIn(cache, [v2]);
    await raw.del(keys.version);
    assert.equal(await cache.get(USER), undefined);
    await cache.update([v1]);
    assert.deepEqual(await cache.get(USER), { entry: v1, complete: false, source: "redis" });
  },
);

testKeys(
  "a version out of range is never served, nor does it disturb its neighbours",
  async (cache) => {
    const outside = [-1, 2 ** 60, 1e300, 0.5].map((ts, index) =>
      entry(index + 1, { userId: `outside${index}`, ts })
    );
    await fillIn(cache, [...outside, v1]);
    for (const { userId } of outside) assert.equal(await cache.get(userId), undefined);
    assert.deepEqual((await cache.get(USER))?.entry, v1);
  },
);
