import assert from "node:assert/strict";
import { CacheClient } from "../../src/reading/cache_client.ts";
import type { Entry } from "../../src/domain.ts";
import { CacheStaleError } from "../../src/errors.ts";
import { type Cache, CACHE_LATE_EFFECT_MS, type CachedEntry } from "../../src/ports/cache.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { entry } from "../support/fakes.ts";

const TTL_MS = 300_000;

function setUp() {
  const clock = new FakeClock();
  const held = new Map<string, CachedEntry>();
  const control = { fail: false, error: undefined as Error | undefined };
  const faults: unknown[] = [];
  const call = <T>(result: () => T) =>
    control.fail || control.error
      ? Promise.reject(control.error ?? new Error("cache down"))
      : Promise.resolve(result());
  const cache: Cache = {
    get: (userId) => call(() => held.get(userId)),
    setMany: (entries: readonly Entry[], complete) =>
      call(() =>
        entries.forEach((entry) => held.set(entry.userId, { entry, complete, source: "redis" }))
      ),
    forget: (userId) => call(() => void held.delete(userId)),
    ping: () => call(() => {}),
    close: () => Promise.resolve(),
  };
  const told: number[] = [];
  const sharing = {
    text: "g1",
    isSure: true,
    outdate: () => Promise.resolve(void told.push(clock.now())),
  };
  const client = new CacheClient(cache, TTL_MS, clock, (error) => faults.push(error), sharing);
  return { clock, held, control, faults, told, sharing, client };
}

Deno.test("a cache fault is a miss and is reported", async () => {
  const { control, faults, client } = setUp();
  control.fail = true;
  assert.equal(await client.get("u"), undefined);
  assert.equal(faults.length, 1);
});

Deno.test("a stale copy is not read after an update of it failed, until it has expired", async () => {
  const { clock, control, client } = setUp();
  await client.update([entry(1, { userId: "u" }), entry(2, { userId: "v" })]);
  control.fail = true;
  await client.update([entry(3, { userId: "u" })]);
  control.fail = false;
  assert.equal(await client.get("u"), undefined);
  assert.equal((await client.get("v"))?.entry.seq, 2);
  await clock.advance(TTL_MS + CACHE_LATE_EFFECT_MS);
  assert.equal((await client.get("u"))?.entry.seq, 1);
});

Deno.test("others are told when an update or an invalidation failed, and not otherwise", async () => {
  const { control, told, client } = setUp();
  await client.update([entry(1)]);
  await client.forget([entry(1), entry(2)]);
  assert.equal(told.length, 0);
  control.fail = true;
  await client.update([entry(2)]);
  assert.equal(told.length, 1);
  await client.forget([entry(1), entry(2)]);
  assert.equal(told.length, 2);
});

Deno.test("of an update that failed for some users only these are suspect", async () => {
  const { control, faults, client } = setUp();
  await client.update([entry(1, { userId: "u" }), entry(2, { userId: "v" })]);
  control.error = new CacheStaleError(["u"], "refused");
  await client.update([entry(3, { userId: "u" }), entry(4, { userId: "v" })]);
  control.error = undefined;
  assert.equal(await client.get("u"), undefined);
  assert.ok(await client.get("v"));
  assert.deepEqual(faults.map(String), ["CacheStaleError: refused"]);
});

Deno.test("what a look-up found in an earlier generation is not filled in", async () => {
  const { held, sharing, client } = setUp();
  const { generation } = client;
  sharing.text = "g2";
  client.fill(entry(1, { userId: "u" }), generation);
  await settle();
  assert.equal(held.size, 0);
  client.fill(entry(1, { userId: "u" }), client.generation);
  await settle();
  assert.equal(held.size, 1);
});

Deno.test("a copy is given as stale while nobody can say that it is still good", async () => {
  const { sharing, client } = setUp();
  await client.update([entry(1, { userId: "u" })]);
  assert.equal((await client.get("u"))?.source, "redis");
  sharing.isSure = false;
  assert.equal((await client.get("u"))?.source, "stale");
});

Deno.test("setting the machine's clock does not make a stale copy readable", async () => {
  const { clock, control, client } = setUp();
  await client.update([entry(1, { userId: "u" })]);
  control.fail = true;
  await client.update([entry(2, { userId: "u" })]);
  control.fail = false;
  clock.step(3_600_000);
  assert.equal(await client.get("u"), undefined);
  assert.equal(client.current, false);
});

Deno.test("a fill that failed may arrive late, and so makes its user suspect, too", async () => {
  const { control, held, client } = setUp();
  control.fail = true;
  client.fill(entry(1, { userId: "u" }), "g1");
  await settle();
  control.fail = false;
  held.set("u", { entry: entry(1, { userId: "u" }), complete: true, source: "redis" });
  assert.equal(await client.get("u"), undefined);
});

Deno.test("when what an earlier run failed to update is not known, no copy is read that this run has not filled", async () => {
  const { clock, client } = setUp();
  await client.update([entry(1, { userId: "u" }), entry(2, { userId: "v" })]);
  client.distrustAll();
  assert.equal(client.current, false);
  assert.equal(await client.get("u"), undefined);
  await clock.advance(CACHE_LATE_EFFECT_MS);
  client.fill(entry(3, { userId: "u" }), "g1");
  await settle();
  assert.equal((await client.get("u"))?.entry.seq, 3);
  assert.equal(await client.get("v"), undefined);
  await clock.advance(TTL_MS + CACHE_LATE_EFFECT_MS);
  assert.equal((await client.get("v"))?.entry.seq, 2);
  assert.equal(client.current, true);
});

Deno.test("a fill does not clear a doubt that arose while it was under way", async () => {
  const { clock, control, held, client } = setUp();
  client.fill(entry(1, { userId: "u" }), "g1");
  control.fail = true;
  const failing = client.update([entry(2, { userId: "u" })]);
  await Promise.all([failing, settle()]);
  control.fail = false;
  held.set("u", { entry: entry(1, { userId: "u" }), complete: true, source: "redis" });
  assert.equal(await client.get("u"), undefined);
  assert.equal(clock.timers, 0);
});

Deno.test("filling from the store heals a user whose update failed, once that can take no effect any more", async () => {
  const { clock, control, client } = setUp();
  control.fail = true;
  await client.update([entry(1, { userId: "u" })]);
  control.fail = false;
  client.fill(entry(1, { userId: "u" }), "g1");
  await settle();
  assert.equal(await client.get("u"), undefined);
  await clock.advance(CACHE_LATE_EFFECT_MS);
  client.fill(entry(1, { userId: "u" }), "g1");
  await settle();
  assert.deepEqual(await client.get("u"), {
    entry: entry(1, { userId: "u" }),
    complete: true,
    source: "redis",
  });
});

Deno.test("offers that come while one is under way go out together", async () => {
  const { held, client } = setUp();
  for (let seq = 1; seq <= 100; seq++) client.offer(entry(seq));
  await client.close();
  assert.equal(held.size, 100);
});

Deno.test("when more users are suspect than can be remembered, the whole cache is passed over until copies have expired", async () => {
  const { clock, control, client } = setUp();
  await client.update([entry(1, { userId: "bystander" })]);
  control.fail = true;
  await client.update(Array.from({ length: 100_001 }, (_, i) => entry(i + 2)));
  control.fail = false;
  assert.equal(await client.get("bystander"), undefined);
  await clock.advance(TTL_MS + CACHE_LATE_EFFECT_MS);
  assert.equal((await client.get("bystander"))?.entry.seq, 1);
});
