import assert from "node:assert/strict";
import { StoreUnavailableError } from "../../src/errors.ts";
import { Stragglers } from "../../src/forwarding/stragglers.ts";
import type { Folded, Interval } from "../../src/ports/group_store.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { group, SOURCE } from "../support/groups.ts";

const MINUTE_MS = 60_000;

function setUp() {
  const clock = new FakeClock();
  const state = {
    folded: { mark: 0, ahead: false } as Folded,
    waiting: [SOURCE],
    never: [] as readonly Interval[],
    sentAgain: 0,
    isAway: false,
  };
  const stragglers = new Stragglers({
    groups: {
      fold: (_, never = []) => {
        state.never = never;
        if (state.isAway) return Promise.reject(new StoreUnavailableError("away"));
        return Promise.resolve(state.folded);
      },
    },
    waitingSources: () => state.waiting,
    clock,
    log: new Log("error", "json", () => {}),
    sendAgain: () => state.sentAgain++,
  });
  stragglers.start();
  return { clock, state, stragglers };
}

Deno.test("what is missing while later groups are there is sent again after half a minute", async () => {
  const { clock, state, stragglers } = setUp();
  state.folded = { mark: 5, ahead: true };
  await clock.advance(28_000);
  assert.equal(state.sentAgain, 0);
  await clock.advance(6_000);
  assert.equal(state.sentAgain, 1);
  await clock.advance(20_000);
  assert.equal(state.sentAgain, 1);
  await clock.advance(60 * MINUTE_MS);
  assert.ok(state.sentAgain <= 8, `${state.sentAgain} times in an hour`);
  stragglers.stop();
});

Deno.test("time in which the store is away says nothing about the broker", async () => {
  const { clock, state, stragglers } = setUp();
  state.folded = { mark: 5, ahead: true };
  await clock.advance(20_000);
  state.isAway = true;
  await clock.advance(30 * MINUTE_MS);
  state.isAway = false;
  await clock.advance(20_000);
  assert.equal(state.sentAgain, 0);
  stragglers.stop();
});

Deno.test("a gap that closes and another one that opens are not one long one", async () => {
  const { clock, state, stragglers } = setUp();
  for (let mark = 1; mark < 60; mark++) {
    state.folded = { mark, ahead: true };
    await clock.advance(4_000);
  }
  assert.equal(state.sentAgain, 0);
  stragglers.stop();
});

Deno.test("where nothing arrives it is sent again ever more seldom", async () => {
  const { clock, state, stragglers } = setUp();
  await clock.advance(9 * MINUTE_MS);
  assert.equal(state.sentAgain, 0);
  await clock.advance(2 * MINUTE_MS);
  assert.equal(state.sentAgain, 1);
  await clock.advance(18 * MINUTE_MS);
  assert.equal(state.sentAgain, 1);
  await clock.advance(24 * 60 * MINUTE_MS);
  assert.ok(state.sentAgain >= 6 && state.sentAgain <= 12, `${state.sentAgain} times in a day`);
  stragglers.stop();
});

Deno.test("a mark that went back is reason enough at once", async () => {
  const { clock, state, stragglers } = setUp();
  state.folded = { mark: 9, ahead: false };
  await clock.advance(2_000);
  state.folded = { mark: 4, ahead: false };
  await clock.advance(2_000);
  assert.equal(state.sentAgain, 1);
  stragglers.stop();
});

Deno.test("nothing is asked while nothing waits, and numbers that never come go along", async () => {
  const { clock, state, stragglers } = setUp();
  stragglers.never({ ...group(6, 8), entries: [] });
  stragglers.never({ ...group(2, 3), entries: [] });
  stragglers.never({ ...group(7, 8), entries: [] });
  await clock.advance(2_000);
  assert.deepEqual(state.never, [{ first: 2, last: 3 }, { first: 7, last: 8 }]);
  state.waiting = [];
  state.never = [];
  await clock.advance(10_000);
  assert.deepEqual(state.never, []);
  state.waiting = [SOURCE];
  await clock.advance(2_000);
  assert.deepEqual(state.never, [], "they are forgotten with their source");
  stragglers.stop();
});

Deno.test("what borders on damage goes when the mark stands still before it for half a minute", async () => {
  const { clock, state, stragglers } = setUp();
  const doubtful = { ...group(6, 8), isDoubtful: true } as const;
  assert.ok(stragglers.holdsBack(doubtful));
  for (let mark = 1; mark <= 5; mark++) {
    state.folded = { mark, ahead: true };
    await clock.advance(20_000);
  }
  assert.ok(stragglers.holdsBack(doubtful), "groups before it are still coming");
  await clock.advance(14_000);
  assert.ok(!stragglers.holdsBack(doubtful));
  assert.equal(state.sentAgain, 1);
  assert.ok(stragglers.holdsBack({ ...group(20, 21), isDoubtful: true }), "each has its time");
  stragglers.stop();
});

Deno.test("what borders on damage is not let go while the store is away", async () => {
  const { clock, state, stragglers } = setUp();
  const doubtful = { ...group(1, 2), isDoubtful: true } as const;
  assert.ok(stragglers.holdsBack(doubtful));
  state.isAway = true;
  await clock.advance(10 * MINUTE_MS);
  assert.ok(stragglers.holdsBack(doubtful));
  assert.equal(state.sentAgain, 0);
  stragglers.stop();
});
