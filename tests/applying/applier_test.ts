import assert from "node:assert/strict";
import { Applier } from "../../src/applying/applier.ts";
import { StoreRefusesError, StoreUnavailableError } from "../../src/errors.ts";
import { encodeGroup } from "../../src/forwarding/group_message.ts";
import type { EntryGroup, GroupStore } from "../../src/ports/group_store.ts";
import { PauseSwitch } from "../../src/pause_switch.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeConsumer } from "../support/fake_broker.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { idleMetrics } from "../support/fakes.ts";
import { group, SOURCE } from "../support/groups.ts";
import { MemoryGroups } from "../support/memory_groups.ts";
import { MemoryStore } from "../support/memory_store.ts";

function setUp(options = { size: 50, intervalMs: 2_000, max: 5_000 }) {
  const clock = new FakeClock();
  const consumer = new FakeConsumer();
  const tables = new MemoryStore();
  const memory = new MemoryGroups(tables);
  const state = {
    failWith: undefined as Error | undefined,
    mostRows: Infinity,
    calls: [] as number[],
    /** The store answers after it. */
    gate: Promise.resolve(),
  };
  const groups: GroupStore = {
    apply: async (some) => {
      await state.gate;
      if (state.failWith !== undefined) throw state.failWith;
      const rows = some.reduce((sum, { entries }) => sum + entries.length, 0);
      if (rows > state.mostRows) throw new StoreUnavailableError("Too slow.");
      state.calls.push(some.length);
      return await memory.apply(some);
    },
    fold: (source) => memory.fold(source),
    dead: () => Promise.reject(new Error("A worker asks for no dead letters")),
  };
  const lines: string[] = [];
  const pausing = new PauseSwitch();
  const applier = new Applier(options, {
    ...{ consumer, groups, clock, metrics: idleMetrics() },
    random: () => 0.5,
    pausing,
    log: new Log("info", "json", (line) => lines.push(line)),
  });
  applier.start();
  const give = async (...some: readonly EntryGroup[]) => {
    for (const one of some) consumer.give(encodeGroup(one));
    await settle();
  };
  const mark = () => tables.marks([SOURCE]).get(SOURCE) ?? 0;
  return { applier, pausing, clock, consumer, tables, state, lines, give, mark };
}

Deno.test("groups are applied together once enough rows wait, and acknowledged after that", async () => {
  const { applier, consumer, state, give, mark } = setUp({ size: 5, intervalMs: 2_000, max: 100 });
  await give(group(1, 2), group(3, 4));
  assert.deepEqual([state.calls, consumer.acknowledged.length], [[], 0]);
  await give(group(5, 5));
  assert.deepEqual([state.calls, consumer.acknowledged.length], [[3], 3]);
  assert.equal(mark(), 5, "the mark is moved over what follows it");
  await applier.stop();
});

Deno.test("few rows wait for the interval", async () => {
  const { applier, clock, consumer, give, mark } = setUp();
  await give(group(1, 2));
  await clock.advance(1_999);
  assert.equal(mark(), 0);
  await clock.advance(1);
  assert.equal(mark(), 2);
  assert.equal(consumer.acknowledged.length, 1);
  await applier.stop();
});

Deno.test("messages with few rows do not wait when the broker gives no more of them", async () => {
  const { applier, consumer, give, mark } = setUp({ size: 1_000, intervalMs: 60_000, max: 5_000 });
  for (let seq = 1; seq < consumer.maxGivenOut; seq++) await give(group(seq, seq));
  assert.equal(mark(), 0);
  await give(group(consumer.maxGivenOut, consumer.maxGivenOut));
  assert.equal(mark(), consumer.maxGivenOut);
  await applier.stop();
});

Deno.test("a transaction has so many rows at most, and a group is never cut", async () => {
  const { applier, clock, state, give, mark } = setUp({ size: 10, intervalMs: 100, max: 10 });
  await give(group(1, 9), group(10, 14), group(15, 40), group(41, 41));
  await clock.advance(1_000);
  assert.deepEqual(state.calls, [1, 1, 1, 1]);
  assert.equal(mark(), 41);
  await applier.stop();
});

Deno.test("while the store is away nothing is acknowledged, and later all is there once", async () => {
  const { applier, clock, consumer, state, give, mark } = setUp({
    size: 1,
    intervalMs: 10,
    max: 9,
  });
  state.failWith = new StoreUnavailableError("The store is away.");
  await give(group(1, 3));
  await clock.advance(20_000);
  await give(group(4, 4));
  assert.equal(consumer.acknowledged.length, 0);
  assert.match(applier.failure!, /away/);
  assert.equal(applier.refusal, undefined);
  state.failWith = undefined;
  await clock.advance(5_000);
  assert.equal(consumer.acknowledged.length, 2);
  assert.deepEqual([mark(), applier.failure], [4, undefined]);
  await applier.stop();
});

Deno.test("what is on its way to the store waits, for all that is told", async () => {
  const { applier, clock, consumer, state, give } = setUp({ size: 1, intervalMs: 10, max: 9 });
  const answer = Promise.withResolvers<void>();
  state.gate = answer.promise;
  await give(group(1, 3));
  await clock.advance(1_000);
  assert.ok(applier.isBusy);
  assert.equal(applier.depth, 3);
  assert.ok(applier.oldestAcceptedMs !== undefined);
  answer.resolve();
  await clock.advance(1_000);
  assert.deepEqual([applier.depth, applier.oldestAcceptedMs], [0, undefined]);
  assert.equal(consumer.acknowledged.length, 1);
  await applier.stop();
});

Deno.test("a store too slow for a whole batch is brought smaller ones", async () => {
  const { applier, clock, state, give, mark } = setUp({ size: 8, intervalMs: 10, max: 100 });
  state.mostRows = 3;
  for (let seq = 1; seq <= 8; seq++) await give(group(seq, seq));
  await clock.advance(60_000);
  assert.equal(mark(), 8);
  assert.ok(state.calls.every((count) => count <= 3), `${state.calls}`);
  await applier.stop();
});

Deno.test("a store that refuses everything is a matter for a person, and keeps the messages", async () => {
  const { applier, clock, consumer, state, give } = setUp({ size: 1, intervalMs: 10, max: 9 });
  state.failWith = new StoreRefusesError("42501", "permission denied for table user_data");
  await give(group(1, 1));
  await clock.advance(60_000);
  assert.match(applier.refusal!, /permission denied/);
  assert.deepEqual([consumer.acknowledged, consumer.buried], [[], []]);
  await applier.stop();
});

Deno.test("a message that is no group is put aside, and keeps nobody waiting", async () => {
  const { applier, consumer, lines, give, mark } = setUp({ size: 1, intervalMs: 10, max: 9 });
  consumer.give(new TextEncoder().encode("hello"));
  await give(group(1, 1));
  assert.equal(consumer.buried.length, 1);
  assert.match(consumer.buried[0]!.reason, /does not begin/);
  assert.match(lines.join("\n"), /dead letters/);
  assert.equal(mark(), 1);
  await applier.stop();
});

Deno.test("a group across what is there is put aside, and its neighbours are applied", async () => {
  const { applier, consumer, give, mark, clock } = setUp({ size: 1, intervalMs: 10, max: 100 });
  await give(group(1, 10));
  await give(group(11, 12), group(5, 20), group(13, 13));
  await clock.advance(100);
  assert.equal(mark(), 13);
  assert.equal(consumer.buried.length, 1);
  assert.equal(consumer.acknowledged.length, 3);
  await applier.stop();
});

Deno.test("what is given five times is there once, and acknowledged each time", async () => {
  const { applier, clock, consumer, tables, give } = setUp({ size: 1, intervalMs: 10, max: 100 });
  for (let i = 0; i < 5; i++) await give(group(4, 6), group(1, 3));
  await clock.advance(1_000);
  assert.equal(tables.rows.length, 6);
  assert.equal(consumer.acknowledged.length, 10);
  await applier.stop();
});

Deno.test("a stop lets the flush under way end, and gives the rest back", async () => {
  const { applier, clock, consumer, give, mark } = setUp();
  await give(group(1, 2));
  await applier.stop();
  await clock.advance(60_000);
  assert.deepEqual([mark(), consumer.acknowledged.length, consumer.isClosed], [0, 0, true]);
  assert.equal(clock.timers, 0);
});

Deno.test("a group that is meant for another store is buried, and its neighbours are stored", async () => {
  const { applier, consumer, lines, give, mark } = setUp({ size: 7, intervalMs: 2_000, max: 100 });
  const foreign = { ...group(1, 3, "another0run1"), store: "another" };
  await give(group(1, 2), foreign, group(3, 4));
  assert.deepEqual([mark(), consumer.acknowledged.length], [4, 2]);
  assert.deepEqual(consumer.buried.map(({ bytes }) => bytes), [encodeGroup(foreign)]);
  assert.match(lines.join("\n"), /"outcome":"foreign"/);
  await applier.stop();
});

Deno.test("paused, it keeps what it is given, and acknowledges it once it is resumed", async () => {
  const { applier, pausing, clock, consumer, state, give, mark } = setUp({
    size: 2,
    intervalMs: 2_000,
    max: 100,
  });
  pausing.turn(true);
  await give(group(1, 2), group(3, 3));
  const isStored = applier.flushNow();
  assert.equal(isStored(), false);
  await clock.advance(60_000);
  assert.deepEqual([state.calls, consumer.acknowledged.length, applier.depth], [[], 0, 3]);
  pausing.turn(false);
  await settle();
  assert.deepEqual([consumer.acknowledged.length, mark(), isStored()], [2, 3, true]);
  await give(group(4, 4));
  const ofLater = applier.flushNow();
  assert.deepEqual([ofLater(), isStored()], [false, true]);
  await settle();
  assert.deepEqual([ofLater(), mark()], [true, 4], "it does not wait for the interval");
  pausing.turn(true);
  await give(group(5, 5));
  await applier.stop();
  assert.deepEqual([mark(), consumer.acknowledged.length], [4, 3], "a stop flushes nothing");
});
