import assert from "node:assert/strict";
import { CacheFeed } from "../../src/delivery/cache_feed.ts";
import type { Entry } from "../../src/domain.ts";
import { bytesOf } from "../../src/packed.ts";
import { settle } from "../support/fake_clock.ts";
import { entry, INSTANCE } from "../support/fakes.ts";

function setUp(maxBytes: number) {
  const calls: number[][] = [];
  let release: () => void = () => {};
  const cache = {
    offer(entries: readonly Entry[]): Promise<void> {
      calls.push(entries.map(({ seq }) => seq));
      return new Promise((resolve) => release = resolve);
    },
  };
  const answer = async () => {
    release();
    await settle();
  };
  return { feed: new CacheFeed(cache, maxBytes), calls, answer };
}

Deno.test("what waits goes to the cache together, one call at a time", async () => {
  const { feed, calls, answer } = setUp(1_000_000);
  feed.offer([entry(1)]);
  for (let seq = 2; seq <= 100; seq++) feed.offer([entry(seq)]);
  assert.deepEqual(calls, [[1]]);
  await answer();
  assert.equal(calls.length, 2);
  assert.equal(calls[1]!.length, 99);
});

Deno.test(
  "entries beyond the bound, in bytes, are left to their flush; those under way " +
    "count",
  async () => {
    const size = bytesOf(entry(1));
    const { feed, calls, answer } = setUp(3 * size);
    feed.offer([entry(1)]);
    feed.offer([2, 3, 4, 5].map((seq) => entry(seq)));
    await answer();
    assert.deepEqual(calls, [[1], [2, 3]]);
    feed.offer([entry(6), entry(7)]);
    await answer();
    assert.deepEqual(calls, [[1], [2, 3], [6]]);
  },
);

Deno.test("what a flush brings itself is not brought after it", async () => {
  const { feed, calls, answer } = setUp(1_000_000);
  feed.offer([entry(1)]);
  feed.offer([2, 3, 4].map((seq) => entry(seq)));
  feed.leaveTo({ source: INSTANCE, entries: [entry(1), entry(2), entry(3)], lastSeq: 3 });
  await answer();
  assert.deepEqual(calls, [[1], [4]]);
});

Deno.test("a stop drops what waits and resolves when nothing is under way", async () => {
  const { feed, calls, answer } = setUp(1_000_000);
  feed.offer([entry(1)]);
  feed.offer([entry(2)]);
  let stopped = false;
  const stopping = feed.stop().then(() => stopped = true);
  await settle();
  assert.equal(stopped, false);
  await answer();
  await stopping;
  assert.deepEqual(calls, [[1]]);
});
