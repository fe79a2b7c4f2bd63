import assert from "node:assert/strict";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { DeadlineError } from "../../src/deadline.ts";
import { CacheStaleError } from "../../src/errors.ts";
import { CACHE_LATE_EFFECT_MS } from "../../src/ports/cache.ts";
import { FakeCache } from "../support/fake_cache.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { entry } from "../support/fakes.ts";

const TTL_MS = 300_000;

function setUp() {
  const clock = new FakeClock();
  const cache = new FakeCache();
  const faults: unknown[] = [];
  const told: number[] = [];
  const forgotten: string[] = [];
  const sharing = {
    text: "g1",
    isSure: true,
    refresh: () => Promise.resolve(),
    outdate: () => Promise.resolve(void told.push(clock.now())),
  };
  const client = new CacheClient({
    cache,
    ttlMs: TTL_MS,
    clock,
    onFault: (error) => faults.push(error),
    sharing,
    onForget: (userId) => forgotten.push(userId),
  });
  /** Returns the copy of a user, unless it is doubted. */
  const believed = async (userId: string) => {
    const copy = await client.get(userId);
    return copy?.isDoubted ? undefined : copy;
  };
  /** Lets pass what is waited for before something is tried once more. */
  const ended = async <T>(work: T | Promise<T>): Promise<T> => {
    await settle();
    await clock.advance(100);
    return await work;
  };
  const held = cache.held;
  return { clock, cache, held, faults, told, forgotten, sharing, client, believed, ended };
}

const DOWN = new Error("cache down");

Deno.test("an update under a generation that had ended is made again under the present one", async () => {
  const { cache, sharing, client } = setUp();
  const under: string[] = [];
  const update = cache.update.bind(cache);
  cache.update = async (entries) => {
    under.push(sharing.text);
    return await update(entries);
  };
  sharing.refresh = () => Promise.resolve(void (sharing.text = "g2"));
  await client.update([entry(1)]);
  assert.deepEqual(under, ["g1", "g2"]);
  await client.update([entry(2)]);
  assert.deepEqual(under, ["g1", "g2", "g2"]);
});

Deno.test("an update is not done while the store does not say for which generation", async () => {
  const { sharing, client } = setUp();
  sharing.refresh = () => Promise.reject(new Error("away"));
  await assert.rejects(client.update([entry(1)]), /away/);
  await assert.rejects(client.forget([entry(1)]), /away/);
});

Deno.test("a cache fault is a miss and is reported", async () => {
  const { cache, faults, client, ended } = setUp();
  cache.failWith = DOWN;
  assert.equal(await ended(client.get("u")), undefined);
  assert.equal(faults.length, 2);
});

Deno.test("a stale copy is not read after an update failed, until it has expired", async () => {
  const { clock, cache, client, believed, ended } = setUp();
  await client.update([entry(1, { userId: "u" }), entry(2, { userId: "v" })]);
  cache.failWith = DOWN;
  await ended(client.update([entry(3, { userId: "u" })]));
  cache.failWith = undefined;
  assert.equal(await believed("u"), undefined);
  assert.equal((await believed("v"))?.entry.seq, 2);
  await clock.advance(TTL_MS + CACHE_LATE_EFFECT_MS);
  assert.equal((await believed("u"))?.entry.seq, 1);
});

Deno.test("others are told when an update or a drop failed, and not otherwise", async () => {
  const { cache, told, client, ended } = setUp();
  await client.update([entry(1)]);
  await client.forget([entry(1), entry(2)]);
  assert.equal(told.length, 0);
  cache.failWith = DOWN;
  await ended(client.update([entry(2)]));
  assert.equal(told.length, 1);
  await ended(client.forget([entry(1), entry(2)]));
  assert.equal(told.length, 2);
});

Deno.test("of an update that failed for some users only these are suspect", async () => {
  const { cache, faults, client, believed, ended } = setUp();
  await client.update([entry(1, { userId: "u" }), entry(2, { userId: "v" })]);
  cache.failWith = new CacheStaleError(["u"], "refused");
  await ended(client.update([entry(3, { userId: "u" }), entry(4, { userId: "v" })]));
  cache.failWith = undefined;
  assert.equal(await believed("u"), undefined);
  assert.ok(await believed("v"));
  assert.deepEqual(faults.map(String), ["CacheStaleError: refused", "CacheStaleError: refused"]);
});

Deno.test("what a look-up found in an earlier generation is not filled in", async () => {
  const { held, sharing, client } = setUp();
  const lookUp = await client.beginLookUp();
  sharing.text = "g2";
  client.fill(entry(1, { userId: "u" }), lookUp);
  await settle();
  assert.equal(held.size, 0);
  client.fill(entry(1, { userId: "u" }), await client.beginLookUp());
  await settle();
  assert.equal(held.size, 1);
});

Deno.test("what was found long ago is not filled in: whoever was stopped meanwhile may be behind", async () => {
  const { clock, held, client } = setUp();
  const lookUp = await client.beginLookUp();
  await clock.advance(5_001);
  client.fill(entry(1, { userId: "u" }), lookUp);
  await settle();
  assert.equal(held.size, 0);
});

Deno.test("a copy is given as stale while nobody can say that it is still good", async () => {
  const { sharing, client } = setUp();
  await client.update([entry(1, { userId: "u" })]);
  assert.equal((await client.get("u"))?.source, "redis");
  sharing.isSure = false;
  assert.equal((await client.get("u"))?.source, "stale");
});

Deno.test("setting the machine's clock does not make a stale copy readable", async () => {
  const { clock, cache, client, believed, ended } = setUp();
  await client.update([entry(1, { userId: "u" })]);
  cache.failWith = DOWN;
  await ended(client.update([entry(2, { userId: "u" })]));
  cache.failWith = undefined;
  clock.step(3_600_000);
  assert.equal(await believed("u"), undefined);
  assert.equal(client.current, false);
});

Deno.test("a fill that failed may arrive late, and so makes its user suspect, too", async () => {
  const { cache, held, client, believed } = setUp();
  const lookUp = await client.beginLookUp();
  cache.failWith = DOWN;
  client.fill(entry(1, { userId: "u" }), lookUp);
  await settle();
  cache.failWith = undefined;
  held.set("u", { entry: entry(1, { userId: "u" }), complete: true, source: "redis" });
  assert.equal(await believed("u"), undefined);
});

Deno.test(
  "when what an earlier run failed to update is not known, no copy is read that " +
    "this run has not filled",
  async () => {
    const { clock, client } = setUp();
    await client.update([entry(1, { userId: "u" }), entry(2, { userId: "v" })]);
    client.distrustAll();
    assert.equal(client.current, false);
    assert.equal(await client.get("u"), undefined);
    await clock.advance(CACHE_LATE_EFFECT_MS);
    client.fill(entry(3, { userId: "u" }), await client.beginLookUp());
    await settle();
    assert.equal((await client.get("u"))?.entry.seq, 3);
    assert.equal(await client.get("v"), undefined);
    await clock.advance(TTL_MS + CACHE_LATE_EFFECT_MS);
    assert.equal((await client.get("v"))?.entry.seq, 2);
    assert.equal(client.current, true);
  },
);

Deno.test("a fill does not clear a doubt that arose while it was under way", async () => {
  const { clock, cache, held, client, believed, ended } = setUp();
  client.fill(entry(1, { userId: "u" }), await client.beginLookUp());
  cache.failWith = DOWN;
  const failing = client.update([entry(2, { userId: "u" })]);
  await ended(failing);
  cache.failWith = undefined;
  held.set("u", { entry: entry(1, { userId: "u" }), complete: true, source: "redis" });
  assert.equal(await believed("u"), undefined);
  assert.equal(clock.timers, 0);
});

Deno.test(
  "filling from the store heals a user whose update failed, once that can take no " +
    "effect any more",
  async () => {
    const { clock, cache, client, believed, ended } = setUp();
    cache.failWith = DOWN;
    await ended(client.update([entry(1, { userId: "u" })]));
    cache.failWith = undefined;
    client.fill(entry(1, { userId: "u" }), await client.beginLookUp());
    await settle();
    assert.equal(await believed("u"), undefined);
    await clock.advance(CACHE_LATE_EFFECT_MS);
    client.fill(entry(1, { userId: "u" }), await client.beginLookUp());
    await settle();
    assert.deepEqual(await client.get("u"), {
      entry: entry(1, { userId: "u" }),
      complete: true,
      source: "redis",
    });
  },
);

Deno.test("an offer that the cache did not take does not fail: its users are suspect", async () => {
  const { cache, held, client, believed } = setUp();
  cache.failWith = new Error("READONLY");
  assert.equal(await client.offer([entry(1), entry(2)]), false);
  cache.failWith = undefined;
  held.set("user1", { entry: entry(1), complete: true, source: "redis" });
  assert.equal(await believed("user1"), undefined);
  assert.equal(client.current, false);
  assert.equal(await client.offer([entry(3)]), true);
  assert.equal((await client.get("user3"))?.entry.seq, 3);
});

Deno.test("who else remembers a user is told before the copy is dropped", async () => {
  const { held, forgotten, client } = setUp();
  await client.update([entry(1), entry(2)]);
  const done = client.forget([entry(1)]);
  assert.deepEqual(forgotten, ["user1"]);
  await done;
  assert.deepEqual([...held.keys()], ["user2"]);
});

Deno.test(
  "when more users are suspect than can be remembered, the whole cache is passed " +
    "over until copies have expired",
  async () => {
    const { clock, cache, client, ended } = setUp();
    await client.update([entry(1, { userId: "bystander" })]);
    cache.failWith = DOWN;
    await ended(client.update(Array.from({ length: 100_001 }, (_, i) => entry(i + 2))));
    cache.failWith = undefined;
    assert.equal(await client.get("bystander"), undefined);
    await clock.advance(TTL_MS + CACHE_LATE_EFFECT_MS);
    assert.equal((await client.get("bystander"))?.entry.seq, 1);
  },
);

Deno.test("a copy that may be too old counts beside the store; one that was refused does not", async () => {
  const { cache, client, ended } = setUp();
  await client.update([entry(1, { userId: "u" }), entry(2, { userId: "v" })]);
  cache.failWith = DOWN;
  await client.offer([entry(3, { userId: "u" })]);
  await ended(client.forget([entry(2, { userId: "v" })]));
  await client.offer([entry(4, { userId: "v" })]);
  cache.failWith = undefined;
  const copy = await client.get("u");
  assert.deepEqual([copy?.entry.seq, copy?.complete, copy?.isDoubted], [1, false, true]);
  assert.equal(await client.get("v"), undefined);
});

Deno.test("what fails once is tried again before others are told, or the store is asked", async () => {
  const { cache, told, faults, client, ended } = setUp();
  await client.update([entry(1, { userId: "u" })]);
  const failOnce = <T>(work: () => Promise<T>) => {
    cache.failWith = DOWN;
    const begun = work();
    cache.failWith = undefined;
    return ended(begun);
  };
  await failOnce(() => client.update([entry(2, { userId: "v" })]));
  assert.equal((await failOnce(async () => await client.get("u")))?.entry.seq, 1);
  assert.deepEqual([told.length, faults.length], [0, 2]);
  assert.equal((await client.get("v"))?.entry.seq, 2);
});

Deno.test("what goes on failing is not waited for again", async () => {
  const { clock, cache, told, client, ended } = setUp();
  cache.failWith = DOWN;
  await ended(client.update([entry(1)]));
  await ended(client.get("u"));
  const timers = clock.timers;
  await client.update([entry(2)]);
  assert.equal(await client.get("u"), undefined);
  assert.deepEqual([clock.timers, told.length], [timers, 2]);
});

Deno.test("who was silent until the deadline is not waited for twice", async () => {
  const { clock, cache, told, client } = setUp();
  cache.failWith = new CacheStaleError([], "late", { cause: new DeadlineError("250 ms") });
  await client.update([entry(1)]);
  assert.equal(await client.get("u"), undefined);
  assert.deepEqual([clock.timers, told.length, cache.offered.length], [0, 1, 1]);
});
