/**
 * A Redis that answers reads and refuses writes: nobody reads what is older, or the cache says of
 * whom somebody may.
 */
import assert from "node:assert/strict";
import { CacheStaleError } from "../../../src/errors.ts";
import type { Cache } from "../../../src/ports/cache.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { fillIn } from "../../support/fill_in.ts";
import { LOCAL, onRedis, type RawClient } from "../../support/redis_caches.ts";

const USERS = Array.from({ length: 300 }, (_, index) => `u${index}`);
const version = (seq: number) =>
  USERS.map((userId) => entry(seq, { userId, value: `value${seq} of ${userId}` }));
const [V1, V2, V3] = [version(1), version(2), version(3)] as const;

/** Each user's body, checked to be one of that user's; undefined for a miss. */
async function bodies(cache: Cache): Promise<(number | undefined)[]> {
  return await Promise.all(USERS.map(async (userId) => {
    const found = await cache.get(userId);
    if (found === undefined) return undefined;
    assert.equal(found.entry.value, `value${found.entry.seq} of ${userId}`);
    return found.entry.seq;
  }));
}

async function holdsAll(cache: Cache, seq: number | undefined): Promise<boolean> {
  return (await bodies(cache)).every((found) => found === seq);
}

async function isStale(
  update: Promise<void>,
  userIds: readonly string[],
  reason: RegExp,
): Promise<void> {
  await assert.rejects(update, (error) => {
    assert.ok(error instanceof CacheStaleError, String(error));
    assert.deepEqual(new Set(error.userIds), new Set(userIds));
    assert.match(error.message, reason);
    return true;
  });
}

async function fill(raw: RawClient): Promise<void> {
  await raw.configSet("maxmemory", "1");
  await assert.rejects(raw.set("x", "y"), /OOM/);
}

onRedis(
  "what a full one refuses is dropped, so that no instance reads the older copy",
  async (test) => {
    const [a, b] = [test.open(), test.open({ local: LOCAL })];
    const raw = await test.raw();
    await fillIn(a.cache, V1);
    await eventually("b has copies of all", async () => await holdsAll(b.cache, 1));
    await fill(raw);
    const startedMs = performance.now();
    await a.cache.update(V2);
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs < 5_000, `${tookMs} ms`);
    assert.ok(await holdsAll(a.cache, undefined));
    await eventually("b reads none of them", async () => await holdsAll(b.cache, undefined), 1_000);
    assert.deepEqual(await raw.mGet(USERS), USERS.map(() => null), "the older values went, too");
    assert.equal(a.errors.length, 1, "said once a call");
    assert.match(a.errors[0]!, /^Redis at 127.0.0.1:\d+: OOM .*maxmemory-policy.*dropped/);

    await raw.configSet("maxmemory", "0");
    await a.cache.update(V3);
    assert.ok(await holdsAll(b.cache, 3));
  },
);

onRedis(
  "a look-up that was under way while an update was refused does not bring back what is older",
  async (test) => {
    const [a, b] = [test.open(), test.open()];
    const raw = await test.raw();
    for (const before of [[], V1]) {
      await raw.flushAll();
      await fillIn(a.cache, before);
      await fill(raw);
      await a.cache.update(V2);
      await raw.configSet("maxmemory", "0");
      await fillIn(b.cache, V1);
      assert.ok(await holdsAll(b.cache, undefined));
      await fillIn(b.cache, V2);
      assert.ok(await holdsAll(a.cache, 2));
    }
  },
);

onRedis("a full one forgets, and a newer copy than the refused one stays", async (test) => {
  const { cache, errors } = test.open();
  await fillIn(cache, V2);
  await fill(await test.raw());
  await fillIn(cache, V1);
  assert.ok(await holdsAll(cache, 2));
  await Promise.all(USERS.map((userId) => cache.forget(userId)));
  assert.ok(await holdsAll(cache, undefined));
  assert.deepEqual(errors, []);
});

onRedis(
  "too few replicas: the update takes place, or its users are named as possibly stale",
  async (test) => {
    const [a, b] = [test.open(), test.open()];
    const raw = await test.raw();
    await fillIn(a.cache, V1);
    await raw.configSet("min-replicas-to-write", "1");
    if (test.version === "6") { // Which asks that of commands, not of scripts.
      await fillIn(a.cache, V2);
      assert.ok(await holdsAll(b.cache, 2));
      return;
    }
    const startedMs = performance.now();
    await isStale(a.cache.update(V2), USERS, /NOREPLICAS .*min-replicas-to-write/);
    assert.ok(performance.now() - startedMs < 5_000);
    await assert.rejects(a.cache.forget("u1"), /NOREPLICAS/);
    await raw.configSet("min-replicas-to-write", "0");
    await a.cache.update(V2);
    assert.ok(await holdsAll(b.cache, 2));
  },
);

onRedis("a snapshot that failed: its users are named as possibly stale", async (test) => {
  const { cache } = test.open();
  const raw = await test.raw();
  await fillIn(cache, V1);
  await raw.configSet("save", "3600 1000000");
  await Deno.mkdir(`${test.server.options.folder}/dump.rdb/in-the-way`, { recursive: true });
  await raw.sendCommand(["BGSAVE"]);
  const isRefused = (error: Error) => error.message.startsWith("MISCONF");
  await eventually("writes are refused", () => raw.set("x", "y").then(() => false, isRefused));
  await isStale(cache.update(V2), USERS, /MISCONF .*stop-writes-on-bgsave-error/);
  await assert.rejects(cache.forget("u1"), /MISCONF/);
});

onRedis("of one call only the users that were refused are named", async (test) => {
  const raw = await test.raw();
  await raw.aclSetUser("app", ["on", ">pw", "+@all", "~u1", "~{u1}*", "~{u2}*"]);
  const { cache, errors } = test.open({ username: "app", password: "pw" });
  const of = (userId: string) => V1.find((candidate) => candidate.userId === userId)!;
  // The companion of u2 may be deleted, that of u3 may not.
  await isStale(
    cache.update([of("u1"), of("u2"), of("u3")]),
    ["u3"],
    /NOPERM.*CACHE_PREFIX/i,
  );
  assert.equal((await cache.get("u1"))?.entry.seq, 1);
  assert.ok(errors.some((error) => /NOPERM.*dropped/i.test(error)), errors.join());
});

onRedis("a replica is refused by name, whether it was one before or becomes one", async (test) => {
  const { cache, errors } = test.open();
  const raw = await test.raw();
  await fillIn(cache, V1);
  await raw.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
  await isStale(cache.update(V2), USERS, /READONLY .*name the primary/);
  const named = /Redis at .*: it is a read-only replica of 127\.0\.0\.1:1: name the primary/;
  await eventually(
    "reads are refused",
    async () => {
      const reading = Promise.resolve(cache.get("u1"));
      return await reading.then(() => false, (error) => named.test(error.message));
    },
  );
  const late = test.open();
  await assert.rejects(async () => await late.cache.get("u1"), named);
  await assert.rejects(late.cache.forget("u1"), named);
  assert.ok(errors.some((error) => named.test(error)));

  await raw.sendCommand(["REPLICAOF", "NO", "ONE"]);
  await eventually("it is the primary again", () => cache.token().then(() => true, () => false));
  assert.ok(await holdsAll(cache, undefined), "what it has from before may be behind");
  await cache.update(V2);
  assert.ok(await holdsAll(late.cache, 2));
});

onRedis("a replica that nobody asks is found out within two seconds", async (test) => {
  const { cache, errors } = test.open({ local: LOCAL });
  const raw = await test.raw();
  await fillIn(cache, V1);
  await eventually("there are copies", async () => (await cache.get("u1"))?.source === "local");
  await raw.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
  await eventually("it is told", () => Promise.resolve(errors.length > 0), 2_500);
  await assert.rejects(async () => await cache.get("u1"));
});
