import assert from "node:assert/strict";
import { AppError } from "../../src/errors.ts";
import { IntakeHalf } from "../../src/intake/intake_half.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { FakeJournal, RUN } from "../support/fake_journal.ts";
import { idleMetrics } from "../support/fakes.ts";

const write = { userId: "u", value: "v", ts: 1_000 };

function setUp() {
  const clock = new FakeClock();
  const metrics = idleMetrics();
  const half = new IntakeHalf({
    lastKnown: new LastKnown(60_000, clock),
    clock,
    metrics,
    log: new Log("error", "json", () => {}),
    onDurable: () => {},
  });
  const journal = new FakeJournal(half);
  half.attach(journal);
  half.start();
  /** The level of each answer so far, in the order of the answers. */
  const answers: string[] = [];
  const begin = (ack: "replicated" | "flushed") => {
    void half.write(write, ack).then(
      (result) => answers.push(`${result.entry.seq} ${result.ack}`),
      (error) => answers.push(error instanceof AppError ? error.code : String(error)),
    );
    return settle();
  };
  const count = async (ack: string) => {
    const { text } = await metrics.expose(false);
    return Number(text.match(new RegExp(`dsproxy_writes_total{ack="${ack}"} (\\d+)`))![1]);
  };
  return { clock, half, journal, answers, begin, count };
}

Deno.test("a replicated write is answered once the broker has it, and it is durable", async () => {
  const { clock, half, journal, answers, begin, count } = setUp();
  journal.hold();
  await begin("replicated");
  await begin("replicated");
  assert.equal(half.isFlushAwaited, false);
  journal.release();
  await settle();
  assert.deepEqual(answers, [], "durable is not enough");
  half.replicated(1);
  await settle();
  assert.deepEqual(answers, ["1 replicated"]);
  half.replicated(7);
  await settle();
  assert.deepEqual(answers, ["1 replicated", "2 replicated"]);
  assert.equal(clock.timers, 0);
  assert.deepEqual([await count("replicated"), await count("durable")], [2, 0]);
});

Deno.test("what the broker does not confirm within 5 s is answered as durable", async () => {
  const { clock, answers, begin, count } = setUp();
  await begin("replicated");
  await clock.advance(4_999);
  assert.deepEqual(answers, []);
  await clock.advance(1);
  assert.deepEqual(answers, ["1 durable"]);
  assert.equal(clock.timers, 0);
  assert.deepEqual([await count("replicated"), await count("durable")], [0, 1]);
});

Deno.test("what the store has is replicated, whatever the store made of it", async () => {
  const { half, journal, answers, begin } = setUp();
  for (let i = 0; i < 3; i++) await begin("replicated");
  const [stored, dead] = journal.entries;
  half.settled({
    source: RUN,
    entries: journal.entries,
    lastSeq: 3,
    stored: [stored!],
    dead: [{ seq: dead!.seq, code: "23514", message: "refused" }],
  });
  await settle();
  assert.deepEqual(answers, ["1 replicated", "2 replicated", "3 replicated"]);
});

Deno.test("a flushed write that only the broker has in time is answered as replicated", async () => {
  const { clock, half, answers, begin, count } = setUp();
  await begin("flushed");
  await begin("flushed");
  half.replicated(1);
  await settle();
  assert.deepEqual(answers, [], "the broker is not the store");
  await clock.advance(10_000);
  assert.deepEqual(answers, ["1 replicated", "2 durable"]);
  assert.deepEqual([await count("replicated"), await count("durable")], [1, 1]);
});

Deno.test("a replicated write that never becomes durable is refused", async () => {
  const { clock, journal, answers, begin } = setUp();
  journal.hold();
  await begin("replicated");
  journal.withdraw();
  await settle();
  assert.deepEqual(answers, ["journal-failed"]);
  assert.equal(clock.timers, 0);
});

Deno.test("who waits for the broker is answered as durable when nothing reaches it", async () => {
  for (const end of ["stop", "waitNoLonger"] as const) {
    const { clock, half, answers, begin } = setUp();
    await begin("replicated");
    half[end]();
    await settle();
    assert.deepEqual(answers, ["1 durable"], end);
    assert.equal(clock.timers, 0);
    half.start();
    await begin("replicated");
    half.replicated(2);
    await settle();
    assert.deepEqual(answers, ["1 durable", "2 replicated"], end);
  }
});
