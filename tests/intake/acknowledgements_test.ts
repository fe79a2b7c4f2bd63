import assert from "node:assert/strict";
import { Acknowledgements } from "../../src/intake/acknowledgements.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { entry, INSTANCE } from "../support/fakes.ts";

const RUN = INSTANCE;
const batch = (...seqs: number[]) => ({
  source: RUN,
  entries: seqs.map((seq) => entry(seq)),
  lastSeq: seqs.at(-1)!,
  stored: seqs.filter((seq) => seq % 3 !== 0).map((seq) => entry(seq)),
  dead: seqs.filter((seq) => seq === 3).map((seq) => ({ seq, code: "23514", message: "refused" })),
});

Deno.test("each is told what became of its own write, and only once that is known", async () => {
  const clock = new FakeClock();
  const acknowledgements = new Acknowledgements(clock);
  const waiting = [1, 3, 6, 7].map((seq) => acknowledgements.wait(entry(seq), 10_000));
  acknowledgements.settle(RUN, batch(1, 2, 3, 4, 5, 6));
  const outcomes = await Promise.race([Promise.all(waiting.slice(0, 3)), Promise.all(waiting)]);
  assert.deepEqual(outcomes, ["stored", "dead", "settled"]);
  await clock.advance(10_000);
  assert.equal(await waiting[3], "time is up");
  assert.equal(clock.timers, 0);
});

Deno.test("entries of another run with the same numbers tell nobody anything", async () => {
  const clock = new FakeClock();
  const acknowledgements = new Acknowledgements(clock);
  const waiting = acknowledgements.wait(entry(1), 10_000);
  acknowledgements.settle("run000000009", batch(1));
  await clock.advance(10_000);
  assert.equal(await waiting, "time is up");
});

Deno.test("what never became durable is waited for no longer", async () => {
  const clock = new FakeClock();
  const acknowledgements = new Acknowledgements(clock);
  const waiting = acknowledgements.wait(entry(1), 10_000);
  acknowledgements.withdraw([entry(1)]);
  assert.equal(await waiting, "withdrawn");
  assert.equal(clock.timers, 0);
});

Deno.test(
  "a stop answers those who wait and those who come, until it is started again",
  async () => {
    const clock = new FakeClock();
    const acknowledgements = new Acknowledgements(clock);
    const waiting = acknowledgements.wait(entry(1), 10_000);
    acknowledgements.stop();
    assert.deepEqual([await waiting, await acknowledgements.wait(entry(2), 1)], [
      "stopped",
      "stopped",
    ]);
    assert.equal(clock.timers, 0);
    acknowledgements.start();
    const again = acknowledgements.wait(entry(2), 10_000);
    acknowledgements.settle(RUN, batch(2));
    assert.equal(await again, "stored");
  },
);

Deno.test("the broker's word goes to all through its number, and does not go back", async () => {
  const clock = new FakeClock();
  const acknowledgements = new Acknowledgements(clock);
  assert.equal(acknowledgements.isReplicated(entry(1)), false);
  const waiting = [2, 4, 5].map((seq) => acknowledgements.wait(entry(seq), 5_000));
  acknowledgements.replicated(1);
  assert.equal(acknowledgements.isAwaited, true);
  acknowledgements.replicated(4);
  acknowledgements.replicated(3);
  assert.deepEqual(await Promise.all(waiting.slice(0, 2)), ["replicated", "replicated"]);
  const replicated = [4, 5].map((seq) => acknowledgements.isReplicated(entry(seq)));
  assert.deepEqual(replicated, [true, false]);
  await clock.advance(5_000);
  assert.equal(await waiting[2], "time is up");
  assert.equal(clock.timers, 0);
});
