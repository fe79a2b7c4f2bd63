import assert from "node:assert/strict";
import { CacheNamespace } from "../../src/reading/cache_namespace.ts";
import type { StoreIdentity } from "../../src/ports/store_identity.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const ID = "0f0e0d0c-0000-4000-8000-000000000000";

function setUp() {
  const clock = new FakeClock();
  const store = { cacheGeneration: "g1", away: false, answer: Promise.resolve() };
  const identity: StoreIdentity = {
    identify: async () => {
      if (store.away) throw new Error("away");
      const told = { id: ID, cacheGeneration: store.cacheGeneration };
      await store.answer;
      return told;
    },
    outdateCopies: () => {
      if (store.away) return Promise.reject(new Error("away"));
      store.cacheGeneration += "+";
      return Promise.resolve({ id: ID, cacheGeneration: store.cacheGeneration });
    },
  };
  return { clock, store, namespace: new CacheNamespace(identity, clock) };
}

Deno.test("there is no name until the store has told one", async () => {
  const { clock, store, namespace } = setUp();
  store.away = true;
  namespace.start();
  await settle();
  assert.equal(namespace.text, undefined);
  store.away = false;
  await clock.advance(500);
  assert.equal(namespace.text, "0f0e0d0c.g1");
  namespace.stop();
  assert.equal(clock.timers, 0);
});

Deno.test("what an earlier run learned counts while the store is away, and no longer", async () => {
  const { clock, store, namespace } = setUp();
  store.away = true;
  namespace.start({ id: ID, cacheGeneration: "old" });
  await settle();
  assert.equal(namespace.text, "0f0e0d0c.old");
  store.away = false;
  await clock.advance(500);
  assert.equal(namespace.text, "0f0e0d0c.g1+", "g1 may be one that was ended before old began");
  assert.equal(store.cacheGeneration, "g1+");
  await clock.advance(1_000);
  assert.equal(namespace.text, "0f0e0d0c.g1+", "which is asked once a run");
  namespace.stop();
});

Deno.test("an earlier run's generation that the store still has is not ended", async () => {
  const { clock, namespace } = setUp();
  namespace.start({ id: ID, cacheGeneration: "g1" });
  await clock.advance(1_000);
  assert.equal(namespace.text, "0f0e0d0c.g1");
  namespace.stop();
});

Deno.test("an earlier run of another store says nothing of this one's generations", async () => {
  const { clock, namespace } = setUp();
  namespace.start({ id: `f${ID.slice(1)}`, cacheGeneration: "old" });
  await clock.advance(1_000);
  assert.equal(namespace.text, "0f0e0d0c.g1");
  namespace.stop();
});

Deno.test("a question that is answered late is not news", async () => {
  const { store, namespace } = setUp();
  const late = Promise.withResolvers<void>();
  store.answer = late.promise;
  const first = namespace.refresh();
  store.answer = Promise.resolve();
  store.cacheGeneration = "g2";
  await namespace.refresh();
  late.resolve();
  await first;
  assert.equal(namespace.text, "0f0e0d0c.g2");
});

Deno.test("a generation that comes back, as a store went back, is ended again", async () => {
  const { clock, store, namespace } = setUp();
  namespace.start();
  await settle();
  await namespace.outdate();
  assert.equal(namespace.text, "0f0e0d0c.g1+");
  store.cacheGeneration = "g1";
  await clock.advance(500);
  assert.equal(store.cacheGeneration, "g1+");
  store.cacheGeneration = "g3";
  await clock.advance(500);
  assert.equal(namespace.text, "0f0e0d0c.g3", "one that nobody knew is taken");
  namespace.stop();
});

Deno.test("a generation that another instance began is learned within half a second", async () => {
  const { clock, store, namespace } = setUp();
  namespace.start();
  await settle();
  store.cacheGeneration = "g2";
  await clock.advance(500);
  assert.equal(namespace.text, "0f0e0d0c.g2");
  namespace.stop();
});

Deno.test(
  "a generation begun here counts at once, whatever an older question is answered " +
    "meanwhile",
  async () => {
    const { clock, store, namespace } = setUp();
    namespace.start();
    await settle();
    const { promise, resolve } = Promise.withResolvers<void>();
    store.answer = promise;
    await clock.advance(500);
    await namespace.outdate();
    assert.equal(namespace.text, "0f0e0d0c.g1+");
    resolve();
    await settle();
    assert.equal(namespace.text, "0f0e0d0c.g1+");
    await clock.advance(500);
    assert.equal(namespace.text, "0f0e0d0c.g1+");
    namespace.stop();
  },
);

Deno.test("it is sure for a second after the store has told, and not before it has", async () => {
  const { clock, store, namespace } = setUp();
  assert.equal(namespace.isSure, false);
  namespace.start();
  await settle();
  await clock.advance(10_000);
  assert.equal(namespace.isSure, true);
  store.away = true;
  await clock.advance(900);
  assert.equal(namespace.isSure, true);
  await clock.advance(600);
  assert.equal(namespace.isSure, false);
  assert.equal(namespace.text, "0f0e0d0c.g1");
  store.away = false;
  await clock.advance(500);
  assert.equal(namespace.isSure, true);
  namespace.stop();
});

Deno.test("outdating rejects where the store cannot be told", async () => {
  const { store, namespace } = setUp();
  store.away = true;
  await assert.rejects(namespace.outdate(), /away/);
});
