/** How many calls an update of many users is, and what Redis tells of it. */
import assert from "node:assert/strict";
import type { Cache } from "../../../src/ports/cache.ts";
import { eventually } from "../../support/dsproxy.ts";
import { entry } from "../../support/fakes.ts";
import { fillIn } from "../../support/fill_in.ts";
import { LOCAL, onRedis, type RawClient } from "../../support/redis_caches.ts";

const USERS = Array.from({ length: 300 }, (_, index) => `u${index}`);
const version = (seq: number) =>
  USERS.map((userId) => entry(seq, { userId, value: `value${seq} of ${userId}` }));

async function infoOf(raw: RawClient, section: string, name: string): Promise<number> {
  const found = new RegExp(`^${name}[:=](?:calls=)?(\\d+)`, "m").exec(await raw.info(section));
  return Number(found?.[1] ?? 0);
}

async function seqs(cache: Cache): Promise<(number | undefined)[]> {
  return await Promise.all(USERS.map(async (userId) => (await cache.get(userId))?.entry.seq));
}

onRedis("an update of many users is a few calls, and none has another's value", async (test) => {
  const { cache, errors } = test.open({ local: LOCAL });
  const raw = await test.raw();
  await cache.update(version(1));
  await cache.update([...version(3).slice(0, 100), ...version(2)]);
  assert.ok(await infoOf(raw, "commandstats", "cmdstat_evalsha") <= 10);
  assert.deepEqual(await seqs(cache), USERS.map((_, i) => i < 100 ? 3 : 2));
  assert.deepEqual(await raw.get("u7"), "value3 of u7");
  assert.deepEqual(errors, []);
});

onRedis("where Redis does not say that it is one server, each user has a call", async (test) => {
  const raw = await test.raw();
  await raw.aclSetUser("app", ["on", ">pw", "+@all", "-info", "~*"]);
  const { cache, errors } = test.open({ username: "app", password: "pw" });
  await cache.update(version(1));
  assert.ok(await infoOf(raw, "commandstats", "cmdstat_evalsha") >= USERS.length);
  assert.deepEqual(await seqs(cache), USERS.map(() => 1));
  assert.deepEqual(errors, []);
});

onRedis("of what only an update has looked at Redis tells nobody", async (test) => {
  const { cache } = test.open({ local: LOCAL });
  const raw = await test.raw();
  const watched = () => infoOf(raw, "stats", "tracking_total_keys");
  await fillIn(cache, version(1));
  await cache.update(version(2));
  await cache.forget("u1");
  assert.equal(await watched(), 1, "that is the fence, which the look-up read");
  await cache.get("u2");
  assert.equal(await watched(), 3);
  await test.open().cache.update(version(3));
  await eventually("it is read anew", async () => (await cache.get("u2"))?.entry.seq === 3);
});

onRedis(
  "a key of another program among them is left alone, and its neighbours go",
  async (test) => {
    const { cache, notices } = test.open();
    const raw = await test.raw();
    await raw.lPush("u7", "theirs");
    await cache.update(version(1));
    assert.deepEqual(await seqs(cache), USERS.map((_, i) => i === 7 ? undefined : 1));
    assert.deepEqual(await raw.lRange("u7", 0, -1), ["theirs"]);
    assert.equal(notices.length, 1);
  },
);

const MANY = Array.from({ length: 4_600 }, (_, index) => `m${index}`);
const backlog = (seq: number) => MANY.map((userId) => entry(seq, { userId }));

onRedis(
  "of a backlog that the store has, users get a value whose copy is there, and no others",
  async (test) => {
    const { cache, errors } = test.open({ local: LOCAL });
    const raw = await test.raw();
    await fillIn(cache, ["m7", "m2499"].map((userId) => entry(1, { userId })));
    await raw.set("m8", "the original's");
    await cache.update(backlog(2), true);
    for (const userId of ["m7", "m2499", "m8"]) {
      assert.equal((await cache.get(userId))?.entry.seq, 2, userId);
    }
    assert.equal((await cache.get("m7"))?.complete, true);
    for (const userId of ["m0", "m6", "m2498"]) {
      assert.equal(await cache.get(userId), undefined, userId);
      assert.equal(await raw.exists(userId), 0);
    }
    assert.deepEqual(errors, []);
  },
);

onRedis("of a backlog that the store does not have yet everybody gets a value", async (test) => {
  const { cache } = test.open();
  await cache.update(backlog(2));
  assert.equal((await cache.get("m2498"))?.entry.seq, 2);
});

onRedis(
  "what a look-up under way has found is kept out of a backlog's users, not what came after",
  async (test) => {
    const { cache } = test.open();
    const other = test.open().cache;
    const token = await other.token();
    await cache.update(backlog(2), true);
    assert.equal(await other.fill([entry(1, { userId: "m3" })], token!), false);
    assert.equal(await cache.get("m3"), undefined, "it is older than what the store has");
    assert.equal(await fillIn(other, [entry(2, { userId: "m3" })]), true);
    assert.equal((await cache.get("m3"))?.complete, true);
    await cache.update(backlog(3), true);
    assert.equal((await other.get("m3"))?.entry.seq, 3);
  },
);

onRedis(
  "what a look-up found is not taken once Redis has lost what would keep it out",
  async (test) => {
    const { cache } = test.open();
    const raw = await test.raw();
    const found = [entry(1, { userId: "m3" })];
    for (const loss of [() => raw.flushAll(), () => raw.del("\0f")]) {
      const before = await cache.token();
      await loss();
      const after = await cache.token();
      assert.equal(await cache.fill(found, before!), false, "what is there now is another one");
      await loss();
      assert.equal(await cache.fill(found, after!), false, "nothing is there");
      assert.equal(await raw.exists("m3"), 0);
    }
    assert.equal(await fillIn(cache, found), true);
  },
);

onRedis("where Redis takes no keys of many users a backlog is brought as ever", async (test) => {
  const raw = await test.raw();
  await raw.aclSetUser("app", ["on", ">pw", "+@all", "-info", "~*"]);
  const { cache, errors } = test.open({ username: "app", password: "pw", callTimeoutMs: 5_000 });
  await cache.update(backlog(2), true);
  assert.equal((await cache.get("m2498"))?.entry.seq, 2);
  assert.deepEqual(errors, []);
});

onRedis(
  "nobody reads what is older after a backlog that a full server refuses",
  async (test) => {
    const { cache } = test.open();
    const other = test.open().cache;
    const token = await other.token();
    const raw = await test.raw();
    await fillIn(cache, [entry(1, { userId: "m7" })]);
    await raw.configSet("maxmemory-policy", "noeviction");
    await raw.configSet("maxmemory", "1");
    await cache.update(backlog(2), true);
    assert.equal(await cache.get("m7"), undefined, "what was there is dropped");
    assert.equal(await fillIn(other, [entry(2, { userId: "m3" })]), false, "it is full");
    await raw.configSet("maxmemory", "0");
    assert.equal(await other.fill([entry(1, { userId: "m3" })], token!), false);
    assert.equal(await cache.get("m3"), undefined);
    assert.equal(await fillIn(other, [entry(2, { userId: "m3" })]), true);
  },
);
