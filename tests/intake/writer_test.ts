import assert from "node:assert/strict";
import { AppError } from "../../src/errors.ts";
import { Acknowledgements } from "../../src/intake/acknowledgements.ts";
import { Pending } from "../../src/intake/pending.ts";
import { Writer } from "../../src/intake/writer.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { FakeJournal } from "../support/fake_journal.ts";
import { idleMetrics } from "../support/fakes.ts";

function setUp(maxPendingUsers: number) {
  const clock = new FakeClock();
  const journal = new FakeJournal();
  const pending = new Pending((run, seq) => journal.read(run, seq));
  const writer = new Writer({
    intake: journal,
    pending,
    acknowledgements: {
      replicated: new Acknowledgements(clock),
      flushed: new Acknowledgements(clock),
    },
    lastKnown: new LastKnown(1_000, clock),
    metrics: idleMetrics(),
    log: new Log("error", "json", () => {}),
  }, maxPendingUsers);
  journal.listener = {
    durable: (entries) => {
      writer.durable(entries);
      for (const entry of entries) pending.addDurable(entry);
    },
    withdrawn: (entries) => writer.withdrawn(entries),
  };
  return { journal, pending, writer };
}

const write = (userId: string) => ({ userId, value: "v", ts: 1 });
const isFull = (error: unknown) => error instanceof AppError && error.code === "queue-full";

Deno.test(
  "further users are refused at the limit, known ones are not, and room comes " +
    "back with a flush",
  async () => {
    const { journal, pending, writer } = setUp(3);
    for (const user of ["a", "b", "c"]) await writer.write(write(user), "durable");
    await assert.rejects(writer.write(write("d"), "durable"), isFull);
    await writer.write(write("a"), "durable");
    pending.settle(journal.entries, 4);
    await writer.write(write("d"), "durable");
  },
);

Deno.test("writes under way count, so that a burst cannot pass the limit", async () => {
  const { journal, writer } = setUp(10);
  journal.hold();
  const burst = Array.from({ length: 50 }, (_, i) => writer.write(write(`user${i}`), "durable"));
  const settled = Promise.allSettled(burst);
  await settle();
  journal.release();
  const results = await settled;
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 10);
  assert.equal(journal.entries.length, 10);
});

Deno.test("writes that never became durable take no room", async () => {
  const { journal, writer } = setUp(2);
  for (let i = 0; i < 5; i++) {
    journal.hold();
    const lost = [
      writer.write(write(`a${i}`), "durable"),
      writer.write(write(`b${i}`), "accepted"),
    ];
    const settled = Promise.allSettled(lost);
    await settle();
    journal.withdraw();
    await settled;
    journal.release();
  }
  await writer.write(write("a"), "durable");
  await writer.write(write("b"), "durable");
  await assert.rejects(writer.write(write("c"), "durable"), isFull);
});
