import assert from "node:assert/strict";
import { AppError, StoreUnavailableError } from "../../src/errors.ts";
import { Arrivals } from "../../src/reading/arrivals.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const RUN = "zzzzzzzzzzzz";
const OTHER = "yyyyyyyyyyyy";

function setUp() {
  const clock = new FakeClock();
  const marks = new Map<string, number>();
  const asked: (readonly string[])[] = [];
  const fault: { error: Error | undefined; gate: Promise<void> } = {
    error: undefined,
    gate: Promise.resolve(),
  };
  const store = {
    marks: async (runs: readonly string[]) => {
      asked.push(runs);
      const known = new Map(marks);
      await fault.gate;
      if (fault.error !== undefined) throw fault.error;
      return known;
    },
  };
  const arrivals = new Arrivals({ store, clock });
  /** What a wait came to: that it is over, or the code of an error. */
  const wait = (seq: number, run = RUN) => {
    const outcome = { is: "waiting" };
    arrivals.wait({ run, seq }).then(
      () => outcome.is = "there",
      (error) => outcome.is = error instanceof AppError ? error.code : String(error),
    );
    return outcome;
  };
  return { clock, marks, asked, fault, arrivals, wait };
}

Deno.test("what the store has is not waited for", async () => {
  const { clock, marks, asked, wait } = setUp();
  marks.set(RUN, 7);
  const outcome = wait(7);
  await settle();
  assert.equal(outcome.is, "there");
  assert.deepEqual([asked, clock.timers], [[[RUN]], 0]);
});

Deno.test("it is asked ten times a second, for all that wait at once", async () => {
  const { clock, marks, asked, wait } = setUp();
  marks.set(RUN, 7);
  const [early, late, other] = [wait(8), wait(9), wait(1, OTHER)];
  await settle();
  asked.length = 0;
  await clock.advance(99);
  assert.deepEqual(asked, []);
  marks.set(RUN, 8);
  await clock.advance(1);
  assert.deepEqual(asked, [[RUN, OTHER]]);
  assert.deepEqual([early.is, late.is, other.is], ["there", "waiting", "waiting"]);
  marks.set(RUN, 12).set(OTHER, 1);
  await clock.advance(100);
  assert.deepEqual([late.is, other.is, clock.timers], ["there", "there", 0]);
});

Deno.test("who comes while the store is asked is asked for right after that", async () => {
  const { clock, marks, asked, fault, wait } = setUp();
  const { promise, resolve } = Promise.withResolvers<void>();
  fault.gate = promise;
  const first = wait(1);
  await settle();
  marks.set(RUN, 2);
  const second = wait(2);
  resolve();
  await settle();
  assert.deepEqual([asked.length, first.is, second.is], [2, "there", "there"]);
  assert.equal(clock.timers, 0);
});

Deno.test("after ten seconds it is said that the store does not have it", async () => {
  const { clock, wait } = setUp();
  const outcome = wait(1);
  for (let tenths = 0; tenths < 99; tenths++) await clock.advance(100);
  assert.equal(outcome.is, "waiting");
  await clock.advance(100);
  await settle();
  assert.equal(outcome.is, "write-not-stored");
  assert.equal(clock.timers, 0);
});

Deno.test("a store that is away for a while is asked again; for long, that is said", async () => {
  const { clock, marks, fault, wait } = setUp();
  fault.error = new StoreUnavailableError("connection refused");
  marks.set(RUN, 1);
  const [lucky, unlucky] = [wait(1), wait(2)];
  await clock.advance(5_000);
  fault.error = undefined;
  await clock.advance(100);
  assert.deepEqual([lucky.is, unlucky.is], ["there", "waiting"]);
  fault.error = new StoreUnavailableError("connection refused");
  await clock.advance(5_000);
  assert.equal(unlucky.is, "store-unavailable");
});

Deno.test("a defect is nobody's to wait for", async () => {
  const { fault, wait, clock } = setUp();
  fault.error = new Error("a defect");
  const outcome = wait(1);
  await settle();
  assert.deepEqual([outcome.is, clock.timers], ["Error: a defect", 0]);
});

Deno.test("so many wait at most, and nobody once it is stopped", async () => {
  const { arrivals, wait, clock } = setUp();
  const waiting = Array.from({ length: 10_000 }, (_, i) => wait(i + 1));
  const refused = wait(1);
  await settle();
  assert.equal(refused.is, "overloaded");
  arrivals.stop();
  const late = wait(1);
  await settle();
  assert.deepEqual(new Set([...waiting, late].map(({ is }) => is)), new Set(["shutting-down"]));
  assert.equal(clock.timers, 0);
});
