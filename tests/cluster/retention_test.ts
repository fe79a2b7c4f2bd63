import assert from "node:assert/strict";
import { RetentionDuty } from "../../src/cluster/retention.ts";
import { StoreUnavailableError } from "../../src/errors.ts";
import type { Retention, Retired } from "../../src/ports/retention.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { idleMetrics } from "../support/fakes.ts";

const TERM = { number: 1, leader: "leader" };
const DAY_MS = 86_400_000;

interface Call {
  readonly olderThanTs: number;
  readonly from: string | undefined;
  readonly atMs: number;
}

/** @param answers are given one after the other; each call takes 20 ms */
function setUp(answers: (Retired | Error)[]) {
  const clock = new FakeClock();
  const metrics = idleMetrics();
  const calls: Call[] = [];
  const lines: string[] = [];
  const retention: Retention = {
    retire: async (_term, olderThanTs, _limit, from) => {
      calls.push({ olderThanTs, from, atMs: clock.monotonicMs() });
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 20));
      const answer = answers.shift() ?? { rows: 0, refused: 0 };
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const note = (level: string) => (message: string, fields = {}) =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const duty = new RetentionDuty({
    ...{ retention, clock, metrics },
    retentionMs: 30 * DAY_MS,
    log: { debug: note("debug"), info: note("info"), warn: note("warn") },
  });
  const aborter = new AbortController();
  const step = async (forMs = 10_000) => {
    const running = duty.run(TERM, aborter.signal);
    running.catch(() => {}); // It is awaited below.
    await clock.advance(forMs);
    await running;
  };
  return { clock, metrics, calls, lines, duty, step, aborter };
}

const going = (next: string): Retired => ({ rows: 10, refused: 0, next });

Deno.test("a pass goes on from batch to batch, and rests between them", async () => {
  const { calls, step, metrics, lines, clock } = setUp([going("a"), going("b"), {
    rows: 3,
    refused: 0,
  }]);
  const nowTs = clock.now() / 1000;
  await step();
  assert.deepEqual(calls.map(({ from }) => from), [undefined, "a", "b"]);
  assert.ok(calls.every(({ olderThanTs }) => olderThanTs === nowTs - 30 * 86_400));
  assert.ok(calls[1]!.atMs - calls[0]!.atMs >= 80, "20 ms of work and three times as much rest");
  const { text } = await metrics.expose(false);
  assert.match(text, /^dsproxy_retired_rows_total 23$/m);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^info Retention deleted old rows .*"rows":23/);
});

Deno.test("after a pass nothing is looked at for ten minutes", async () => {
  const { calls, step } = setUp([]);
  await step();
  await step(300_000);
  assert.equal(calls.length, 1);
  await step(400_000);
  await step();
  assert.equal(calls.length, 2);
});

Deno.test("a step ends after a second, and the next one goes on from there", async () => {
  const { calls, step, clock } = setUp(Array.from({ length: 30 }, (_, i) => going(`${i}`)));
  const beganMs = clock.monotonicMs();
  await step();
  assert.ok(calls.length > 5 && calls.length < 30, `${calls.length} batches`);
  assert.ok(calls.at(-1)!.atMs - beganMs <= 1_000);
  const seen = calls.length;
  await step();
  assert.equal(calls[seen]!.from, `${seen - 1}`);
});

Deno.test("what fails is tried again from the same place", async () => {
  const { calls, step } = setUp([going("a"), new StoreUnavailableError("away"), going("b")]);
  await assert.rejects(step(), /away/);
  await step();
  assert.deepEqual(calls.map(({ from }) => from), [undefined, "a", "a", "b"]);
});

Deno.test("once the lease is lost no further batch is begun", async () => {
  const { calls, duty, aborter, clock } = setUp([going("a"), going("b")]);
  const running = duty.run(TERM, aborter.signal);
  await clock.advance(50);
  aborter.abort();
  await settle();
  await running;
  assert.equal(calls.length, 1);
  assert.equal(clock.timers, 0);
});

Deno.test("rows that the database refuses to delete are told", async () => {
  const { lines, step } = setUp([{ rows: 1, refused: 2 }]);
  await step();
  assert.match(lines[0]!, /^warn .*"refused":2/);
});
