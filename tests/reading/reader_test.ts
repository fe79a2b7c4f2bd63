import assert from "node:assert/strict";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { AppError, StoreUnavailableError } from "../../src/errors.ts";
import { Pending } from "../../src/intake/pending.ts";
import { type Entry, writeId } from "../../src/domain.ts";
import type { CachedEntry } from "../../src/ports/cache.ts";
import type { Stage } from "../../src/ports/intake.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { Reader } from "../../src/reading/reader.ts";
import { FakeCache } from "../support/fake_cache.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { entry, FakeStore, INSTANCE } from "../support/fakes.ts";

const TTL_MS = 300_000;

function setUp() {
  const store = new FakeStore();
  const pending = new Pending(() => Promise.resolve(undefined));
  const cache = new FakeCache();
  const clock = new FakeClock();
  const client = new CacheClient({ cache, ttlMs: TTL_MS, clock, onFault: () => {} });
  const lastKnown = new LastKnown(TTL_MS, clock);
  const counted: string[] = [];
  const counts = {
    series: ({ source }: { source: string }) => ({ inc: () => void counted.push(source) }),
  };
  /** Writes of other instances that the store does not have yet. */
  const missing = new Map<string, Promise<void>>();
  const stages = new Map<string, Stage>();
  const stageOf = (run: string, seq: number) =>
    stages.get(writeId({ run, seq })) ?? (run === INSTANCE ? "settled" : "unknown");
  const reader = new Reader({
    ...{ pending, cache: client, lastKnown, store, counts },
    intake: { stageOf },
    arrivals: { wait: async (id) => await missing.get(writeId(id)) },
  });
  /** What the write path does with an entry that became durable. */
  const write = (written: Entry) => {
    pending.addDurable(written);
    lastKnown.wrote(written);
    void client.offer([written]);
  };
  const { held } = cache;
  return { clock, store, pending, cache, held, write, lastKnown, counted, missing, stages, reader };
}

const u = (seq: number, ts: number) => entry(seq, { userId: "u", ts });

Deno.test("a late write with an old ts does not hide a newer row of the store", async () => {
  const { store, pending, reader } = setUp();
  store.rows.push(u(1, 100));
  pending.addDurable(u(2, 50));
  assert.deepEqual(await reader.read("u"), { entry: u(1, 100), source: "store" });
});

Deno.test(
  "a cached entry that may not be the newest is compared with the store, and " +
    "completed",
  async () => {
    const { store, held, reader } = setUp();
    store.rows.push(u(1, 100));
    held.set("u", { entry: u(2, 50), complete: false, source: "redis" });
    assert.deepEqual(await reader.read("u"), { entry: u(1, 100), source: "store" });
    await settle();
    assert.deepEqual(held.get("u"), { entry: u(1, 100), complete: true, source: "redis" });
  },
);

Deno.test("a complete cached entry needs no look-up in the store", async () => {
  const { store, held, reader } = setUp();
  held.set("u", { entry: u(1, 100), complete: true, source: "local" });
  assert.deepEqual(await reader.read("u"), { entry: u(1, 100), source: "local" });
  assert.equal(store.lookUps, 0);
});

Deno.test("an accepted write is read back while the store is down", async () => {
  const { store, pending, reader } = setUp();
  store.failWith = new Error("down");
  pending.addDurable(u(1, 100));
  assert.deepEqual(await reader.read("u"), { entry: u(1, 100), source: "pending" });
});

Deno.test("a read fails only when no tier can answer, and then says so", async () => {
  const { store, reader } = setUp();
  store.failWith = new Error("password=secret");
  await assert.rejects(async () => await reader.read("u"), (error: unknown) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.code, "store-unavailable");
    assert.ok(!error.message.includes("secret"));
    return true;
  });
});

Deno.test("an unknown user is found nowhere", async () => {
  assert.equal(await setUp().reader.read("u"), undefined);
});

Deno.test("concurrent readers of one user share one look-up", async () => {
  const { store, reader } = setUp();
  store.rows.push(u(1, 100));
  await Promise.all(Array.from({ length: 20 }, () => reader.read("u")));
  assert.equal(store.lookUps, 1);
});

Deno.test(
  "a reader does not join a look-up that began before a write of the user was " +
    "flushed",
  async () => {
    const { store, pending, reader } = setUp();
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => release = resolve);
    const look = store.latest.bind(store);
    store.latest = async (userId) => {
      const found = await look(userId);
      if (store.lookUps === 1) await gate;
      return found;
    };
    const early = reader.read("u");
    await settle();
    const flushed = u(1, 100);
    pending.addDurable(flushed);
    store.rows.push(flushed);
    pending.settle([flushed], 1);
    assert.equal((await reader.read("u"))?.entry.seq, 1);
    release();
    assert.equal((await early)?.entry.seq, 1, "it has been answered, and so it looks again");
  },
);

Deno.test("a user that nobody wrote is looked up again after a second, not at once", async () => {
  const { clock, store, reader } = setUp();
  for (let i = 0; i < 5; i++) assert.equal(await reader.read("u"), undefined);
  assert.equal(store.lookUps, 1);
  await clock.advance(1_001);
  assert.equal(await reader.read("u"), undefined);
  assert.equal(store.lookUps, 2);
});

Deno.test(
  "a write ends the knowledge that nobody wrote the user, even when it is in the " +
    "store already",
  async () => {
    const { store, pending, write, reader } = setUp();
    assert.equal(await reader.read("u"), undefined);
    const written = u(1, 100);
    write(written);
    store.rows.push(written);
    pending.settle([written], 1);
    assert.equal((await reader.read("u"))?.entry.seq, 1);
  },
);

Deno.test(
  "that nobody wrote the user is not learned from a look-up during which a write " +
    "came and went",
  async () => {
    const { store, pending, write, held, reader } = setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = store.latest.bind(store);
    store.latest = async (userId) => {
      const found = await look(userId);
      await promise;
      return found;
    };
    const early = reader.read("u");
    await settle();
    const written = u(1, 100);
    write(written);
    await settle();
    store.rows.push(written);
    pending.settle([written], 1);
    held.clear();
    resolve();
    assert.equal(await early, undefined);
    assert.equal((await reader.read("u"))?.entry.seq, 1);
  },
);

Deno.test("a look-up during which a batch was settled does not complete the cache", async () => {
  const { store, pending, held, reader } = setUp();
  store.rows.push(u(1, 100));
  const look = store.latest.bind(store);
  store.latest = async (userId) => {
    const found = await look(userId);
    pending.settle([], 2);
    return found;
  };
  assert.equal((await reader.read("u"))?.entry.seq, 1);
  await settle();
  assert.equal(held.has("u"), false);
});

Deno.test(
  "with store and cache down the last answer is given for a while, and says that " +
    "it may be old",
  async () => {
    const { clock, store, held, reader } = setUp();
    store.rows.push(u(1, 100));
    await reader.read("u");
    held.clear();
    store.failWith = new Error("down");
    assert.deepEqual(await reader.read("u"), { entry: u(1, 100), source: "stale" });
    await clock.advance(TTL_MS + 1);
    await assert.rejects(
      async () => await reader.read("u"),
      (error: unknown) => (error as AppError).code === "store-unavailable",
    );
  },
);

Deno.test(
  "the last answer given in need is never older than what this instance has " +
    "written since",
  async () => {
    const { store, pending, write, held, reader } = setUp();
    store.rows.push(u(1, 100));
    await reader.read("u");
    const written = u(2, 101);
    write(written);
    store.rows.push(written);
    pending.settle([written], 2);
    await settle();
    held.clear();
    store.failWith = new Error("down");
    assert.deepEqual(await reader.read("u"), { entry: written, source: "stale" });
  },
);

Deno.test("who asks for ever other users that do not exist gets no more memory", async () => {
  const { store, reader } = setUp();
  for (let i = 0; i < 20_000; i++) await reader.read(`nobody${i}`);
  const { lookUps } = store;
  await reader.read("nobody19999");
  assert.equal(store.lookUps, lookUps, "the last one is known");
  await reader.read("nobody0");
  assert.equal(store.lookUps, lookUps + 1, "the first one has been forgotten");
});

Deno.test("each answer is counted once, by the tier that gave it", async () => {
  const { store, held, write, counted, reader } = setUp();
  await reader.read("nobody");
  held.set("copied", { entry: entry(1, { userId: "copied" }), complete: true, source: "local" });
  await reader.read("copied");
  write(u(2, 100));
  await reader.read("u");
  store.rows.push(entry(3, { userId: "stored" }));
  await reader.read("stored");
  store.failWith = new Error("down");
  await assert.rejects(async () => await reader.read("out of reach"));
  assert.deepEqual(counted, ["none", "local", "pending", "store"]);
});

Deno.test(
  "once a write is accepted nothing is known of its user, as it may still come to " +
    "nothing",
  async () => {
    const { store, lastKnown, reader } = setUp();
    await reader.read("u");
    lastKnown.accepted("u");
    await reader.read("u");
    assert.equal(store.lookUps, 2);
  },
);

Deno.test("a row that was refused does not come back by a reader that was under way", async () => {
  const { store, pending, held, write, reader, clock } = setUp();
  const [good, refused] = [u(1, 100), u(2, 200)];
  store.rows.push(good);
  write(refused);
  await settle();
  const answer = Promise.withResolvers<void>();
  const { latest } = store;
  store.latest = async (userId) => {
    await answer.promise;
    return await latest.call(store, userId);
  };
  const reading = reader.read("u");
  await settle();
  // Its flush: the cache forgets it before it is settled.
  held.delete("u");
  answer.resolve();
  await reading;
  await settle();
  pending.settle([refused], 2);
  await clock.advance(1);
  assert.deepEqual((await reader.read("u"))?.entry, good);
});

const ELSEWHERE = { run: "zzzzzzzzzzzz", seq: 7 };

Deno.test("a write of another instance is waited for, and read past the caches", async () => {
  const { store, held, missing, counted, reader } = setUp();
  held.set("u", { entry: u(1, 100), complete: true, source: "local" });
  const arrival = Promise.withResolvers<void>();
  missing.set(writeId(ELSEWHERE), arrival.promise);
  const reading = reader.readAfter("u", ELSEWHERE);
  await settle();
  assert.deepEqual(counted, []);
  store.rows.push(u(2, 200));
  arrival.resolve();
  assert.deepEqual(await reading, { entry: u(2, 200), source: "store" });
  // And nobody here reads the older one after that.
  assert.deepEqual((await reader.read("u"))?.entry, u(2, 200));
});

Deno.test("a copy that cannot be put right after such a read is not believed", async () => {
  const { store, cache, held, reader } = setUp();
  held.set("u", { entry: u(1, 100), complete: true, source: "local" });
  store.rows.push(u(2, 200));
  cache.fill = () => Promise.reject(new Error("OOM"));
  assert.deepEqual((await reader.readAfter("u", ELSEWHERE))?.entry, u(2, 200));
  assert.deepEqual((await reader.read("u"))?.entry, u(2, 200));
});

Deno.test("neither is one beside which a batch was settled", async () => {
  const { store, pending, held, reader } = setUp();
  held.set("u", { entry: u(1, 100), complete: true, source: "local" });
  store.rows.push(u(2, 200));
  pending.addDurable(entry(3, { userId: "x" }));
  const { latest } = store;
  store.latest = async (userId) => {
    const found = await latest.call(store, userId);
    pending.settle([entry(3, { userId: "x" })], 3);
    return found;
  };
  assert.deepEqual((await reader.readAfter("u", ELSEWHERE))?.entry, u(2, 200));
  store.latest = latest;
  assert.deepEqual((await reader.read("u"))?.entry, u(2, 200));
});

Deno.test("what waits here is newer than the row of the other instance, or it is not", async () => {
  for (const [ts, source] of [[50, "store"], [300, "pending"]] as const) {
    const { store, pending, reader } = setUp();
    store.rows.push(u(2, 200));
    pending.addDurable(u(3, ts));
    assert.equal((await reader.readAfter("u", ELSEWHERE))?.source, source);
  }
});

Deno.test("its own writes an instance does not wait for", async () => {
  for (const stage of ["accepted", "durable", "settled", "withdrawn"] as const) {
    const { missing, stages, held, store, reader } = setUp();
    stages.set(writeId(ELSEWHERE), stage);
    missing.set(writeId(ELSEWHERE), Promise.reject(new Error("waited for")));
    missing.get(writeId(ELSEWHERE))!.catch(() => {});
    held.set("u", { entry: u(1, 100), complete: true, source: "local" });
    assert.equal((await reader.readAfter("u", ELSEWHERE))?.source, "local");
    assert.equal(store.lookUps, 0);
  }
});

Deno.test("after a write nobody else answers for a store that cannot be asked", async () => {
  const { store, held, reader } = setUp();
  held.set("u", { entry: u(1, 100), complete: true, source: "local" });
  store.failWith = new StoreUnavailableError("away");
  await assert.rejects(
    reader.readAfter("u", ELSEWHERE),
    (error) => error instanceof AppError && error.code === "store-unavailable",
  );
});

const OTHER = "instance0002";
const theirs = (seq: number, ts: number) => entry(seq, { userId: "u", ts, run: OTHER });

for (
  const [what, lose] of [
    ["lost", (held: Map<string, CachedEntry>) => held.clear()],
    [
      "filled with what the store has",
      (held: Map<string, CachedEntry>) =>
        held.set("u", { entry: theirs(1, 100), complete: true, source: "redis" }),
    ],
  ] as const
) {
  Deno.test(`an answer is not followed by an older one while the cache was ${what}`, async () => {
    const { store, held, reader } = setUp();
    store.rows.push(theirs(1, 100));
    held.set("u", { entry: theirs(7, 200), complete: true, source: "redis" });
    assert.deepEqual(await reader.read("u"), { entry: theirs(7, 200), source: "redis" });
    lose(held);
    await store.open(OTHER);
    await store.put(OTHER, [entry(6, { run: OTHER })], 0);
    assert.deepEqual(await reader.read("u"), { entry: theirs(7, 200), source: "local" });
    store.failWith = new StoreUnavailableError("down");
    assert.deepEqual(await reader.read("u"), { entry: theirs(7, 200), source: "stale" });
    store.failWith = undefined;
    held.clear();
    await store.put(OTHER, [theirs(7, 200)], 6);
    assert.deepEqual(await reader.read("u"), { entry: theirs(7, 200), source: "store" });
  });
}

Deno.test("nobody is answered with what is older while the store is asked for what was answered", async () => {
  const { store, held, reader } = setUp();
  held.set("u", { entry: theirs(7, 200), complete: true, source: "redis" });
  await reader.read("u");
  held.set("u", { entry: theirs(1, 100), complete: true, source: "redis" });
  await store.open(OTHER);
  await store.put(OTHER, [theirs(7, 200)], 0);
  const gate = Promise.withResolvers<void>();
  const { latest } = store;
  store.latest = async (userId) => {
    await gate.promise;
    return await latest.call(store, userId);
  };
  const first = reader.read("u");
  await settle();
  const second = reader.read("u");
  await settle();
  gate.resolve();
  for (const read of [first, second]) assert.deepEqual((await read)?.entry, theirs(7, 200));
});

Deno.test("an answer whose entry came to nothing in the store is not given again", async () => {
  const { store, held, reader } = setUp();
  held.set("u", { entry: theirs(7, 200), complete: true, source: "redis" });
  await reader.read("u");
  held.clear();
  assert.deepEqual(await reader.read("u"), { entry: theirs(7, 200), source: "local" });
  store.refused.add(7);
  await store.open(OTHER);
  await store.put(OTHER, [theirs(7, 200)], 0);
  assert.equal(await reader.read("u"), undefined);
  assert.equal(await reader.read("u"), undefined, "and is forgotten");
});

Deno.test("an own entry that was withdrawn is not answered for having been read before", async () => {
  const { store, pending, stages, reader } = setUp();
  store.rows.push(theirs(1, 100));
  pending.addDurable(u(2, 200));
  assert.equal((await reader.read("u"))?.source, "pending");
  pending.settle([u(2, 200)], 2);
  stages.set(writeId(u(2, 200)), "withdrawn");
  assert.deepEqual((await reader.read("u"))?.entry, theirs(1, 100));
});

Deno.test("a slow read does not take a remembered own write for refused", async () => {
  const { store, held, cache, pending, lastKnown, reader } = setUp();
  const [before, own] = [theirs(1, 100), u(2, 200)];
  store.rows.push(before);
  await reader.read("u");
  await settle();
  held.clear();
  const gate = Promise.withResolvers<void>();
  const { latest } = store;
  store.latest = async (userId) => {
    const found = await latest.call(store, userId);
    await gate.promise;
    return found;
  };
  const slow = reader.read("u");
  await settle();
  pending.addDurable(own);
  lastKnown.wrote(own);
  gate.resolve();
  await slow;
  store.rows.push(own);
  pending.settle([own], 2);
  cache.failWith = new Error("down");
  store.failWith = new StoreUnavailableError("down");
  assert.equal((await reader.read("u"))?.entry.seq, 2);
});

Deno.test("a read after another write does not forget what was answered", async () => {
  const { held, reader } = setUp();
  held.set("u", { entry: theirs(7, 200), complete: true, source: "redis" });
  await reader.read("u");
  held.clear();
  const after = await reader.readAfter("u", { run: "zzzzzzzzzzzz", seq: 1 });
  assert.deepEqual(after, { entry: theirs(7, 200), source: "local" });
  assert.deepEqual(await reader.read("u"), { entry: theirs(7, 200), source: "local" });
});

Deno.test("what was answered while the store was away is not followed by what is older", async () => {
  const { store, held, reader } = setUp();
  held.set("u", { entry: theirs(7, 200), complete: false, source: "redis" });
  store.failWith = new StoreUnavailableError("down");
  assert.equal((await reader.read("u"))?.entry.seq, 7);
  store.failWith = undefined;
  store.rows.push(theirs(1, 100));
  held.clear();
  assert.deepEqual(await reader.read("u"), { entry: theirs(7, 200), source: "local" });
});

Deno.test("what another instance has not stored yet is not filled in as complete", async () => {
  const { held, reader } = setUp();
  held.set("u", { entry: theirs(7, 200), complete: false, source: "redis" });
  assert.equal((await reader.read("u"))?.entry.seq, 7);
  await settle();
  assert.equal(held.get("u")?.complete, false, "it may be refused");
});

Deno.test("many who read what is on its way ask the store once how far it is", async () => {
  const { store, held, reader } = setUp();
  held.set("u", { entry: theirs(7, 200), complete: true, source: "redis" });
  await reader.read("u");
  held.set("u", { entry: theirs(1, 100), complete: true, source: "redis" });
  let asked = 0;
  const { marks } = store;
  store.marks = (sources) => (asked++, marks.call(store, sources));
  const reads = await Promise.all(Array.from({ length: 50 }, () => reader.read("u")));
  for (const read of reads) assert.equal(read?.entry.seq, 7);
  assert.equal(asked, 1);
});
