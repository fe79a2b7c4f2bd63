import assert from "node:assert/strict";
import { CacheFeed } from "../../src/delivery/cache_feed.ts";
import type { Entry } from "../../src/domain.ts";
import { bytesOf } from "../../src/packed.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { entry, INSTANCE } from "../support/fakes.ts";

function setUp(maxBytes: number) {
  const calls: number[][] = [];
  let release: (isTaken: boolean) => void = () => {};
  const cache = {
    offer(entries: readonly Entry[]): Promise<boolean> {
      calls.push(entries.map(({ seq }) => seq));
      return new Promise((resolve) => release = resolve);
    },
  };
  const clock = new FakeClock();
  const answerAtOnce = async (isTaken = true) => {
    release(isTaken);
    await settle();
  };
  /** Answers the call that is under way, and lets the next one begin. */
  const answer = async () => {
    await answerAtOnce();
    await clock.advance(500);
  };
  return { feed: new CacheFeed(cache, clock, maxBytes), calls, answer, answerAtOnce, clock };
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

Deno.test("an entry goes out at once after a rest, else half a second later at most", async () => {
  const { feed, calls, answerAtOnce, clock } = setUp(1_000_000);
  feed.offer([entry(1)]);
  await answerAtOnce();
  feed.offer([entry(2)]);
  feed.offer([entry(3)]);
  await settle();
  assert.deepEqual(calls, [[1]]);
  await clock.advance(500);
  assert.deepEqual(calls, [[1], [2, 3]]);
  await answerAtOnce();
  await clock.advance(500);
  feed.offer([entry(4)]);
  assert.deepEqual(calls, [[1], [2, 3], [4]]);
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

Deno.test("what was not taken is offered again at once, and then as seldom as what is new", async () => {
  const { feed, calls, answerAtOnce, clock } = setUp(1_000_000);
  feed.offer([entry(1)]);
  feed.offer([entry(2)]);
  for (let failure = 1; failure <= 3; failure++) {
    await answerAtOnce(false);
    await clock.advance(100);
    assert.equal(calls.length, 1 + failure);
  }
  await answerAtOnce(false);
  await clock.advance(100);
  assert.equal(calls.length, 4);
  await clock.advance(400);
  assert.deepEqual(calls, [[1], [1, 2], [1, 2], [1, 2], [1, 2]]);
});

Deno.test("what was not taken, and a flush has brought meanwhile, is not offered again", async () => {
  const { feed, calls, answerAtOnce, clock } = setUp(1_000_000);
  feed.offer([1, 2, 3].map((seq) => entry(seq)));
  feed.leaveTo({ source: INSTANCE, entries: [entry(1), entry(2)], lastSeq: 2 });
  await answerAtOnce(false);
  await clock.advance(100);
  assert.deepEqual(calls, [[1, 2, 3], [3]]);
});

Deno.test("after a stop nothing is offered any more, whatever was under way", async () => {
  const { feed, calls, answerAtOnce, clock } = setUp(1_000_000);
  feed.offer([entry(1)]);
  const stopped = feed.stop();
  await answerAtOnce(false);
  await stopped;
  feed.offer([entry(2)]);
  await clock.advance(2_000);
  assert.deepEqual([calls, clock.timers], [[[1]], 0]);
});

Deno.test("what may be offered again and again is offered once for each user", async () => {
  const { feed, calls, answerAtOnce, clock } = setUp(1_000_000);
  feed.offer([1, 2, 3].map((seq) => entry(seq, { userId: "u", ts: seq })));
  await answerAtOnce(false);
  await clock.advance(100);
  assert.deepEqual(calls, [[1, 2, 3], [3]]);
});
