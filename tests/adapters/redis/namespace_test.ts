/** Several deployments, and other programs, on one Redis. */
import assert from "node:assert/strict";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { fillIn, offer } from "../../support/fill_in.ts";
import { seeded } from "../../support/random.ts";
import { LOCAL, NO_LOCAL, onRedis, type RawClient } from "../../support/redis_caches.ts";

const USER = "user1";
const [v1, v2] = [entry(1, { userId: USER }), entry(2, { userId: USER })];

onRedis("two deployments never read each other's values", async (test) => {
  const random = seeded(11);
  const deployments = ["a", "b"].map((name) => {
    const namespace = () => name;
    return {
      name,
      caches: [LOCAL, NO_LOCAL].map((local) => test.open({ local, namespace }).cache),
    };
  });
  let hits = 0;
  await Promise.all(deployments.flatMap(({ name, caches }) =>
    caches.map(async (cache) => {
      for (let seq = 1; seq <= 400; seq++) {
        const userId = `u${Math.floor(random() * 8)}`;
        // Of one deployment the versions are all newer than the other's: it is not they that
        // decide.
        const write = entry(seq, { userId, value: name, ts: name === "a" ? 1 : 2 });
        if (random() < 0.4) await offer(cache, write, random() < 0.5);
        else if (random() < 0.1) await cache.forget(userId);
        const found = await cache.get(userId);
        if (found === undefined) continue;
        assert.equal(found.entry.value, name);
        hits++;
      }
    })
  ));
  assert.ok(hits > 100, `only ${hits} hits`);
});

onRedis(
  "once the namespace has changed no copy made under another is served, local or not",
  async (test) => {
    let name: string | undefined = "1";
    const namespace = () => name;
    const [local, remote] = [
      test.open({ local: LOCAL, namespace }).cache,
      test.open({ namespace }).cache,
    ];
    await fillIn(local, [v1]);
    await eventually("there is a copy", async () => (await local.get(USER))?.source === "local");
    name = "2";
    for (const cache of [local, remote]) assert.equal(await cache.get(USER), undefined);
    await fillIn(remote, [v1]);
    await eventually(
      "there is a copy again",
      async () => (await local.get(USER))?.source === "local",
    );
    name = "1";
    for (const cache of [local, remote]) {
      assert.equal(await cache.get(USER), undefined);
    }
  },
);

onRedis(
  "a read under way while the namespace changes answers nothing of the old one",
  async (test) => {
    let name = "1";
    const { cache } = test.open({ local: LOCAL, namespace: () => name });
    await fillIn(cache, [v1]);
    const reading = cache.get(USER);
    name = "2";
    assert.equal(await reading, undefined);
    assert.equal(await cache.get(USER), undefined);
  },
);

onRedis(
  "as long as no namespace is known nothing is read, and what is written drops what is there",
  async (test) => {
    let name: string | undefined = "1";
    const { cache } = test.open({ local: LOCAL, namespace: () => name });
    await fillIn(cache, [v1]);
    assert.ok(await cache.get(USER));
    name = undefined;
    assert.equal(await cache.get(USER), undefined);
    // What an earlier run sent may come after it: others have to be told by another way.
    await assert.rejects(cache.update([v2]), { name: "CacheStaleError", userIds: [USER] });
    assert.equal(await fillIn(cache, [v2]), false);
    await assert.rejects(cache.forget(USER, v2), /whose copies/);
    name = "1";
    assert.equal(await cache.get(USER), undefined);
  },
);

const FOREIGN: Readonly<Record<string, (raw: RawClient) => Promise<unknown>>> = {
  list: (raw) => raw.rPush(USER, ["a", "b"]),
  set: (raw) => raw.sAdd(USER, "a"),
  hash: (raw) => raw.hSet(USER, "field", "value"),
  zset: (raw) => raw.zAdd(USER, { score: 1, value: "a" }),
  stream: (raw) => raw.xAdd(USER, "*", { field: "value" }),
};

onRedis(
  "a key of another type is never replaced nor deleted; that user is not cached, and it " +
    "is said once",
  async (test) => {
    const raw = await test.raw();
    const { cache, errors, notices } = test.open();
    for (const [type, make] of Object.entries(FOREIGN)) {
      await fillIn(cache, [v1]);
      await raw.del(USER);
      await make(raw);
      const before = await raw.dump(USER);
      for (let time = 0; time < 3; time++) {
        await fillIn(cache, [v2, entry(1, { userId: "other" })]);
        assert.equal(await cache.get(USER), undefined);
        assert.equal((await cache.get("other"))?.entry.seq, 1);
        await cache.forget(USER);
      }
      assert.equal(await raw.type(USER), type);
      assert.deepEqual(await raw.dump(USER), before);
      assert.equal(await raw.exists(`{${USER}}\0v`), 0);
      await raw.del(USER);
      await fillIn(cache, [v2]);
      assert.deepEqual((await cache.get(USER))?.entry, v2);
      await cache.forget(USER);
    }
    assert.deepEqual(errors, []);
    assert.equal(new Set(notices).size, notices.length);
    assert.match(
      notices[0]!,
      /^Redis at .* has keys of other programs .*\(one is a list\).*CACHE_PREFIX/,
    );
  },
);

onRedis("of what was under way when a user was forgotten, what is newer is taken", async (test) => {
  const { cache } = test.open();
  const [v3, v4] = [entry(3, { userId: USER }), entry(4, { userId: USER })];
  await cache.forget(USER, v2);
  await fillIn(cache, [v1]);
  assert.equal(await cache.get(USER), undefined);
  await fillIn(cache, [v2]);
  assert.equal(await cache.get(USER), undefined, "by a reader who found it just before");
  await fillIn(cache, [v3]);
  assert.deepEqual((await cache.get(USER))?.entry, v3);
  await fillIn(cache, [v4]);
  await cache.forget(USER, v2);
  await fillIn(cache, [v3]);
  assert.equal(await cache.get(USER), undefined, "what was there was newer still");
  await cache.update([v4]);
  assert.deepEqual((await cache.get(USER))?.entry, v4);
});

onRedis("what is forgotten of us is deleted, and no text that others set", async (test) => {
  const raw = await test.raw();
  const { cache } = test.open();
  await raw.set(USER, "foreign");
  await cache.forget(USER);
  assert.equal(await raw.get(USER), "foreign");
  await cache.update([v1]);
  await cache.forget(USER);
  assert.equal(await raw.dbSize(), 0);
});
