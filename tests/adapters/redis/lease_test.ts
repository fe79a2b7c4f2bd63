import assert from "node:assert/strict";
import { RedisLease } from "../../../src/adapters/redis/lease.ts";
import { onRedis, type RedisTest } from "../../support/redis_caches.ts";

const LIFE_MS = 60_000;

function leaseOf(
  test: RedisTest,
  url = test.server.url,
  prefix = "p:",
  database = "db",
): RedisLease {
  const identity = () => Promise.resolve(database);
  return test.adopt(
    new RedisLease({ url, prefix, identity, callTimeoutMs: 10_000 }),
    (lease) => lease.close(),
  );
}

onRedis(
  "a lease that was renewed later than now, as the clock was set back, is over",
  async (test) => {
    const [a, b] = [leaseOf(test), leaseOf(test)];
    await a.hold("a/1", LIFE_MS);
    const raw = await test.raw();
    const [since, renewed] = (await raw.get("p:\0ldb"))!.split(" ");
    const later = Number(renewed) + 3_600_000;
    await raw.set("p:\0ldb", `${since} ${later} a/1`, { PX: 3_660_000 });
    assert.deepEqual((await a.hold("a/1", LIFE_MS)).sinceMs, Number(since), "its holder keeps it");
    await raw.set("p:\0ldb", `${since} ${later} a/1`, { PX: 3_660_000 });
    assert.equal((await b.hold("b/1", LIFE_MS)).holder, "b/1");
  },
);

onRedis("two stores, or two prefixes, that share a Redis have a lease each", async (test) => {
  const leases = [
    leaseOf(test),
    leaseOf(test, undefined, "q:"),
    leaseOf(test, undefined, undefined, "other"),
  ];
  for (const [i, lease] of leases.entries()) {
    assert.equal((await lease.hold(`${i}/1`, LIFE_MS)).holder, `${i}/1`);
  }
});

onRedis(
  "the rights that the cache needs are enough, without TIME, too",
  async (test) => {
    const url = Object.assign(new URL(test.server.url), { username: "app", password: "secret" });
    const [a, b] = [leaseOf(test, url.href, "app:"), leaseOf(test, url.href, "app:")];
    const first = await a.hold("a/1", LIFE_MS);
    assert.ok(Math.abs(first.sinceMs - Date.now()) < 10_000);
    assert.deepEqual(await b.hold("b/1", LIFE_MS), first);
    await a.release("a/1");
    assert.equal((await b.hold("b/1", LIFE_MS)).holder, "b/1");
  },
  {
    config: [
      "user app on >secret ~app:* +get +set +del +type +pexpire +eval +evalsha",
    ],
  },
);

onRedis("an emptied Redis gives the lease to who asks first", async (test) => {
  const [a, b] = [leaseOf(test), leaseOf(test)];
  await a.hold("a/1", LIFE_MS);
  await (await test.raw()).flushAll();
  assert.equal((await b.hold("b/1", LIFE_MS)).holder, "b/1");
  assert.equal((await a.hold("a/1", LIFE_MS)).holder, "b/1");
});

onRedis("a lease goes away by itself where nobody asks any more", async (test) => {
  await leaseOf(test).hold("a/1", LIFE_MS);
  const leftMs = await (await test.raw()).pTTL("p:\0ldb");
  assert.ok(leftMs > 0 && leftMs <= LIFE_MS);
});

onRedis("with Redis away a call fails, naming it, and after a close too", async (test) => {
  const lease = leaseOf(test);
  await test.server.stop();
  await assert.rejects(lease.hold("a/1", LIFE_MS), /Redis at /);
  await lease.close();
  await assert.rejects(lease.hold("a/1", LIFE_MS), /closed/);
});
