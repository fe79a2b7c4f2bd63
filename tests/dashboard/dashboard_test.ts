import assert from "node:assert/strict";
import { MemoryInstanceBoard } from "../../src/adapters/memory/instance_board.ts";
import type { Current } from "../../src/dashboard/compose.ts";
import { Dashboard } from "../../src/dashboard/dashboard.ts";
import type { History, Snapshot } from "../../src/dashboard/snapshot.ts";
import { VIEWERS_MAX } from "../../src/dashboard/viewers.ts";
import { BoardRefusesError } from "../../src/ports/instance_board.ts";
import { AppError, StoreUnavailableError } from "../../src/errors.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { idleMetrics } from "../support/fakes.ts";

const SETUP = {
  role: "all",
  version: "1",
  startedMs: 0,
  store: "postgres",
  cache: "redis",
  queue: "journal",
  batchIntervalMs: 2_000,
  journalMaxBytes: 1_000,
} as const;

const CURRENT: Current = {
  name: "me/1",
  phase: "serving",
  isPaused: false,
  isDrained: false,
  queue: { depth: 0, oldestAcceptedMs: undefined, bytes: 0, retainedBytes: 0 },
  journalHasFailed: false,
  journalRefuses: false,
  storeRefuses: false,
  brokerIsAway: false,
  breakers: { "store": { state: 0 }, "store-reads": { state: 0 }, "cache": { state: 0 } },
  leads: true,
  leader: { name: "me/1", sinceMs: 0 },
};

function setUp(clock = new FakeClock(), board = new MemoryInstanceBoard(clock), name = "me/1") {
  const metrics = idleMetrics();
  const state = {
    current: { ...CURRENT, name },
    asked: 0,
    isSilent: false,
    isCounting: false,
    warned: 0,
    failure: undefined as unknown,
  };
  const dashboard = new Dashboard({
    setup: SETUP,
    current: () => state.current,
    ping: () => {
      state.asked++;
      if (state.isSilent) return new Promise(() => {});
      return state.failure === undefined ? Promise.resolve() : Promise.reject(state.failure);
    },
    deadLetters: {
      count: () => state.isCounting ? new Promise(() => {}) : Promise.resolve(3),
      reasons: () => Promise.resolve([{ code: "22001", count: 3 }]),
    },
    ...{
      board,
      clock,
      metrics,
      log: {
        error: () => assert.fail("the dashboard failed"),
        warn: () => void state.warned++,
      },
    },
  });
  dashboard.start();
  const look = async () => JSON.parse(await dashboard.answer(false)).snapshot as Snapshot;
  return { clock, board, metrics, state, dashboard, look };
}

/** The events of a stream as they come. */
async function* eventsOf(stream: ReadableStream<Uint8Array>) {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream() as never)) {
    text += piece;
    const events = text.split("\n\n");
    text = events.pop()!;
    for (const event of events) {
      const name = /^event: (.*)$/m.exec(event)?.[1];
      if (name === undefined) continue;
      yield {
        id: Number(/^id: (\d+)$/m.exec(event)?.[1]),
        name,
        data: JSON.parse(/^data: (.*)$/m.exec(event)![1]!),
      };
    }
  }
}

Deno.test("a stream begins with the history, and has a snapshot each second after that", async () => {
  const { clock, dashboard, metrics } = setUp();
  await settle();
  await clock.advance(5_000);
  const events = eventsOf(await dashboard.watch());
  const first = (await events.next()).value!;
  assert.equal(first.name, "history");
  assert.equal((first.data as History).atMs.length, 6);
  const ids = [first.id];
  for (let second = 0; second < 3; second++) {
    const { name, id, data } = (await events.next()).value!;
    assert.equal(name, "snapshot");
    assert.equal((data as Snapshot).instance.name, "me/1");
    ids.push(id);
    metrics.writes.series({ ack: "durable" }).count += 30;
    await clock.advance(1_000);
  }
  const { data } = (await events.next()).value!;
  assert.ok(Math.abs((data as Snapshot).writesPerSecond - 30) < 0.1);
  assert.deepEqual(ids, ids.toSorted((a, b) => a - b));
  await dashboard.stop();
  assert.equal((await events.next()).done, true);
  assert.equal(clock.timers, 0);
});

Deno.test("viewers are bounded, counted, and those that take nothing are disconnected", async () => {
  const { clock, dashboard, metrics } = setUp();
  const streams = await Promise.all(
    Array.from({ length: VIEWERS_MAX }, () => dashboard.watch()),
  );
  await assert.rejects(dashboard.watch(), (error) => {
    assert.ok(error instanceof AppError);
    return error.code === "too-many-viewers";
  });
  const viewers = async () => (await metrics.viewers.get()).values[0]!.value;
  assert.equal(await viewers(), VIEWERS_MAX);
  const reader = eventsOf(streams[0]!);
  const taken: string[] = [];
  const reading = (async () => {
    for await (const { name } of reader) taken.push(name);
  })();
  await streams[1]!.cancel();
  for (let second = 0; second < 20; second++) {
    await clock.advance(1_000);
    await settle();
  }
  assert.equal(await viewers(), 1);
  await assert.rejects(streams[2]!.getReader().read(), /takes nothing/);
  await dashboard.watch();
  await dashboard.stop();
  await reading;
  assert.ok(taken.filter((name) => name === "snapshot").length >= 15, taken.join());
  assert.equal(await viewers(), 0);
});

Deno.test("nobody watching, the store is not asked; who asks now and then sees what it says", async () => {
  const { clock, dashboard, state, look } = setUp();
  await clock.advance(60_000);
  assert.equal(state.asked, 0);
  assert.deepEqual((await look()).deadLetters, {
    count: 3,
    reasons: [{ code: "22001", count: 3 }],
  });
  assert.equal((await look()).verdict.code, "dead-letters");
  await clock.advance(30_000);
  const { asked } = state;
  await clock.advance(60_000);
  assert.equal(state.asked, asked);
  await dashboard.stop();
});

Deno.test("a store that does not answer shows at the next look, and so does its return", async () => {
  const { clock, dashboard, state, look } = setUp();
  assert.equal((await look()).verdict.code, "dead-letters");
  state.failure = new StoreUnavailableError("no connection to 10.0.0.1 as user secret");
  await clock.advance(3_000);
  const { verdict, deadLetters } = await look();
  assert.deepEqual([verdict.code, deadLetters.count], ["store-away", null]);
  assert.doesNotMatch(JSON.stringify(await look()), /10\.0\.0\.1|secret/);
  state.failure = undefined;
  await clock.advance(3_000);
  assert.equal((await look()).verdict.code, "dead-letters");
  await dashboard.stop();
});

Deno.test("a store that hangs is away within three seconds, and is asked one thing at a time", async () => {
  const { clock, dashboard, state } = setUp();
  const events = eventsOf(await dashboard.watch());
  const next = async (): Promise<Snapshot> => {
    const { name, data } = (await events.next()).value!;
    return name === "snapshot" ? data : await next();
  };
  let last = await next();
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      await clock.advance(1_000);
      last = await next();
    }
  };
  await pass(2);
  assert.equal(last.verdict.code, "dead-letters");
  state.isSilent = true;
  const { asked } = state;
  await pass(3);
  assert.deepEqual([last.verdict.code, last.deadLetters.count], ["store-away", null]);
  await clock.advance(20_000);
  assert.equal(state.asked, asked + 1);
  await dashboard.stop();
});

Deno.test("a store that counts its dead letters for long is there all the same", async () => {
  const { clock, state, dashboard, look } = setUp();
  state.isCounting = true;
  for (let second = 0; second < 10; second++) {
    const looking = look();
    await settle();
    await clock.advance(1_000);
    const { verdict, deadLetters } = await looking;
    assert.deepEqual([verdict.code, deadLetters.count], ["well", null], String(second));
  }
  await dashboard.stop();
});

Deno.test("an instance sees the others, with what is wrong there, until they are not heard of", async () => {
  const one = setUp();
  const two = setUp(one.clock, one.board, "other/2");
  await one.board.post("theirs", '{"name":5}', 60_000);
  await one.board.post("broken", "{", 60_000);
  const problem = { ...two.state.current, journalRefuses: true };
  two.state.current = problem;
  await one.look();
  await one.clock.advance(2_000);
  const { instances, findings } = await one.look();
  assert.deepEqual(instances.map(({ name, level }) => [name, level]), [
    ["me/1", "warning"],
    ["other/2", "problem"],
  ]);
  const told = findings.find(({ code }) => code === "other-instance");
  assert.match(told!.text, /^Instance other\/2: There is no room for more in the journal/);
  assert.equal((await two.look()).instances.find(({ name }) => name === "me/1")!.level, "warning");
  await two.dashboard.stop();
  await one.clock.advance(2_000);
  assert.deepEqual((await one.look()).instances.map(({ name }) => name), ["me/1"]);
  await one.dashboard.stop();
});

Deno.test("a board that gives no answer is told as Redis away, and disturbs nothing else", async () => {
  const clock = new FakeClock();
  const board = new MemoryInstanceBoard(clock);
  const { dashboard, look, state } = setUp(clock, board);
  await look();
  board.post = () => Promise.reject(new Error("Redis is away"));
  await clock.advance(3_000);
  const { findings, instances } = await look();
  assert.deepEqual(findings.map(({ code }) => code).sort(), ["dead-letters", "redis-away"]);
  assert.equal(instances.length, 1);
  // Who may not write there has a cache all the same.
  board.post = () => Promise.reject(new BoardRefusesError("NOPERM"));
  await clock.advance(3_000);
  assert.deepEqual((await look()).findings.map(({ code }) => code), ["dead-letters"]);
  assert.equal(state.warned, 1);
  await dashboard.stop();
});
