import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import { AppError } from "../../src/errors.ts";
import { IntakeHalf } from "../../src/intake/intake_half.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { FakeJournal, RUN } from "../support/fake_journal.ts";
import { entry, idleMetrics } from "../support/fakes.ts";

const write = (userId: string, value = "v") => ({ userId, value, ts: 1_000 });

function setUp(maxPendingUsers?: number) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const metrics = idleMetrics();
  const lastKnown = new LastKnown(60_000, clock);
  const brought: (readonly Entry[])[] = [];
  const half = new IntakeHalf({
    lastKnown,
    clock,
    metrics,
    log: new Log("error", "json", (line) => lines.push(line)),
    onDurable: (entries) => brought.push(entries),
    ...(maxPendingUsers !== undefined && { maxPendingUsers }),
  });
  const journal = new FakeJournal(half);
  half.attach(journal);
  half.start();
  const settleAll = (stored: readonly Entry[], dead: readonly Entry[] = []) => {
    const entries = [...stored, ...dead].sort((a, b) => a.seq - b.seq);
    half.settled({
      source: RUN,
      entries,
      lastSeq: entries.at(-1)!.seq,
      stored,
      dead: dead.map(({ seq }) => ({ seq, code: "23514", message: "refused" })),
    });
  };
  const count = async (ack: string) => {
    const { text } = await metrics.expose(false);
    return Number(text.match(new RegExp(`dsproxy_writes_total{ack="${ack}"} (\\d+)`))![1]);
  };
  return { clock, lines, lastKnown, brought, half, journal, settleAll, count };
}

/** What `work` came to so far. */
function watch<T>(work: Promise<T>): { outcome: T | "nothing yet" } {
  const seen: { outcome: T | "nothing yet" } = { outcome: "nothing yet" };
  void work.then((value) => seen.outcome = value);
  return seen;
}

Deno.test("an accepted write is answered and readable before it is durable", async () => {
  const { half, journal, brought, count } = setUp();
  journal.hold();
  const { entry: accepted, ack } = await half.write(write("u"), "accepted");
  assert.equal(ack, "accepted");
  assert.deepEqual(await half.pending.get("u"), accepted);
  assert.deepEqual(brought, []);
  journal.release();
  assert.deepEqual(brought, [[accepted]]);
  assert.equal(half.pending.users, 1);
  assert.equal(await count("accepted"), 1);
});

Deno.test("a flush is awaited from the moment of such a write until it is answered", async () => {
  const { half, journal, settleAll } = setUp();
  await half.write(write("u"), "durable");
  assert.equal(half.isFlushAwaited, false);
  const writing = half.write(write("u"), "flushed");
  assert.equal(half.isFlushAwaited, true);
  settleAll(journal.entries);
  assert.equal((await writing).ack, "flushed");
  assert.equal(half.isFlushAwaited, false);
});

Deno.test("a durable write is answered once it is on disk, and readable then", async () => {
  const { half, journal, count } = setUp();
  journal.hold();
  const writing = watch(half.write(write("u"), "durable"));
  await settle();
  assert.equal(writing.outcome, "nothing yet");
  assert.equal(await half.pending.get("u"), undefined);
  assert.equal(await count("durable"), 0);
  journal.release();
  await settle();
  assert.notEqual(writing.outcome, "nothing yet");
  assert.equal((await half.pending.get("u"))?.value, "v");
  assert.equal(await count("durable"), 1);
});

Deno.test("a flushed write is answered once the store has it", async () => {
  const { half, journal, settleAll, count } = setUp();
  const writing = watch(half.write(write("u"), "flushed"));
  await settle();
  assert.equal(writing.outcome, "nothing yet", "durable is not enough");
  settleAll(journal.entries);
  await settle();
  assert.deepEqual(writing.outcome, { entry: journal.entries[0], ack: "flushed" });
  assert.deepEqual([await count("flushed"), await count("durable")], [1, 0]);
});

Deno.test(
  "a flushed write that the store refuses, or does not take in time, is answered " +
    "as durable",
  async () => {
    const { half, journal, settleAll, clock, count } = setUp();
    const refused = half.write(write("u"), "flushed");
    await settle();
    settleAll([], journal.entries);
    assert.equal((await refused).ack, "durable");
    const late = half.write(write("u"), "flushed");
    await clock.advance(10_000);
    assert.equal((await late).ack, "durable");
    assert.deepEqual([await count("flushed"), await count("durable")], [0, 2]);
  },
);

Deno.test(
  "a flushed write of which nobody knows whether it is a row is not called " +
    "flushed",
  async () => {
    const { half, journal } = setUp();
    const writing = half.write(write("u"), "flushed");
    await settle();
    half.settled({ source: RUN, entries: journal.entries, lastSeq: 1, stored: [], dead: [] });
    assert.equal((await writing).ack, "durable");
  },
);

Deno.test(
  "an accepted write that never becomes durable is not read any more, and its " +
    "loss is told",
  async () => {
    const { half, journal, lines, settleAll } = setUp();
    await half.write(write("u", "kept"), "durable");
    journal.hold();
    for (const value of ["lost", "lost, too"]) await half.write(write("u", value), "accepted");
    assert.equal((await half.pending.get("u"))?.value, "lost, too");
    journal.withdraw();
    await settle();
    assert.equal((await half.pending.get("u"))?.value, "kept", "what it had hidden is seen again");
    assert.equal(lines.length, 1);
    assert.match(
      lines[0]!,
      /"writes":2,"firstWriteId":"run000000001-2","lastWriteId":"run000000001-3"/,
    );
    settleAll([journal.entries[0]!]);
    assert.equal(await half.pending.get("u"), undefined);
  },
);

Deno.test(
  "a durable write that never becomes durable is refused, and nobody waits for " +
    "it",
  async () => {
    const { half, journal, lines, clock, count } = setUp();
    journal.hold();
    const refused = (error: unknown) =>
      error instanceof AppError && error.code === "journal-failed";
    const writes = (["durable", "flushed"] as const).map((ack) =>
      assert.rejects(half.write(write("u"), ack), refused)
    );
    await settle();
    journal.withdraw();
    await Promise.all(writes);
    assert.deepEqual([await half.pending.get("u"), lines, clock.timers], [undefined, [], 0]);
    assert.deepEqual([await count("durable"), await count("flushed")], [0, 0]);
  },
);

Deno.test("a withdrawn write is not what readers found last", async () => {
  const { half, journal, lastKnown } = setUp();
  journal.hold();
  const { entry: lost } = await half.write(write("u", "lost"), "accepted");
  lastKnown.found(lost);
  const other = entry(7, { userId: "other" });
  lastKnown.found(other);
  const refused = half.write(write("other"), "durable");
  journal.withdraw();
  await assert.rejects(refused);
  assert.equal(lastKnown.lastAnswer("u"), undefined);
  assert.deepEqual(lastKnown.lastAnswer("other"), other);
});

Deno.test("what the store refused is not what readers found last", async () => {
  const { half, lastKnown, settleAll } = setUp();
  const { entry: good } = await half.write(write("good"), "durable");
  const { entry: refused } = await half.write(write("bad"), "durable");
  lastKnown.found(good);
  lastKnown.found(refused);
  settleAll([good], [refused]);
  assert.deepEqual(lastKnown.lastAnswer("good"), good);
  assert.equal(lastKnown.lastAnswer("bad"), undefined);
});

Deno.test("users for whom there is no place are passed over, which is said once", async () => {
  const { half, journal, lines, settleAll } = setUp(2);
  for (let seq = 1; seq <= 4; seq++) journal.add(entry(seq));
  journal.add(entry(5, { userId: "user1" }));
  assert.equal(half.pending.users, 2);
  assert.equal((await half.pending.get("user1"))?.seq, 5);
  assert.equal(await half.pending.get("user3"), undefined);
  assert.equal(lines.length, 1);
  settleAll([1, 2, 3, 4].map((seq) => entry(seq)));
  assert.equal(half.pending.users, 1);
});

Deno.test("what a start finds, and what the store has lost again, is readable", async () => {
  const { half, journal, lastKnown } = setUp();
  lastKnown.foundNothing("user1");
  journal.add(entry(1, { run: "run000000000" }));
  assert.equal((await half.pending.get("user1"))?.seq, 1);
  assert.equal(lastKnown.isAbsent("user1"), false);
});

Deno.test(
  "who waits for the store is answered when there will be no flush; writes are " +
    "still accepted",
  async () => {
    const { half, clock } = setUp();
    const waiting = half.write(write("u"), "flushed");
    await settle();
    half.waitNoLonger();
    assert.equal((await waiting).ack, "durable");
    assert.equal((await half.write(write("u"), "flushed")).ack, "durable");
    assert.equal(clock.timers, 0);
  },
);

Deno.test(
  "nothing is accepted while it is stopped, and everything again once it is " +
    "started",
  async () => {
    const { half } = setUp();
    half.stop();
    await assert.rejects(
      half.write(write("u"), "durable"),
      (error: unknown) => error instanceof AppError && error.code === "shutting-down",
    );
    half.start();
    assert.equal((await half.write(write("u"), "durable")).ack, "durable");
  },
);
