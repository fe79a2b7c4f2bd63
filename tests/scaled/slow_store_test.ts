/** Six instances and one slow PostgreSQL: slots bound what they do to it at a time. */
import assert from "node:assert/strict";
import { flushToSlowStore } from "./slow_store.ts";

const WRITES_EACH = 300;
const QUICK = { writesEach: WRITES_EACH, rowMs: 2, batchMax: 100 };
const ALL = 6 * WRITES_EACH;

Deno.test("six instances that share two slots never have more than two flushes at a slow store", async () => {
  const { most, failed, fallbacks, rows, distinct } = await flushToSlowStore({
    ...QUICK,
    slots: 2,
  });
  assert.deepEqual({ most, failed, fallbacks, rows, distinct }, {
    ...{ most: 2, failed: 0, fallbacks: 0 },
    ...{ rows: ALL, distinct: ALL },
  });
});

Deno.test("six instances without slots are all there at a time", async () => {
  const { most, rows, distinct } = await flushToSlowStore(QUICK);
  assert.ok(most > 2, `${most}`);
  assert.deepEqual([rows, distinct], [ALL, ALL]);
});

Deno.test("with Redis gone flushes go on at once, each process bounded by itself", async () => {
  const { fallbacks, failed, rows, distinct } = await flushToSlowStore({
    ...QUICK,
    slots: 1,
    meanwhile: (_, redis) => redis.kill(),
  });
  assert.ok(fallbacks > 0);
  assert.deepEqual([failed, rows, distinct], [0, ALL, ALL]);
});

Deno.test("an instance that is killed with a slot stops nobody, and all is stored once", async () => {
  const { most, rows, distinct } = await flushToSlowStore({
    ...QUICK,
    slots: 2,
    meanwhile: async ({ servers }) => {
      await servers[0]!.kill();
      await servers[0]!.start();
    },
  });
  assert.deepEqual([most, rows, distinct], [2, ALL, ALL]);
});
