import assert from "node:assert/strict";
import { Pace } from "../../src/delivery/pace.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** Flushes of a backlog that take `tookMs` each, while `cameRows` come from one to the next. */
async function setUp(tookMs: number, cameRows: number) {
  const clock = new FakeClock();
  const pace = new Pace(1_000, clock);
  let unsettled = 100_000;
  const flush = async (rows = 1_000, came = cameRows) => {
    const begunMs = clock.monotonicMs();
    await clock.advance(tookMs);
    unsettled += came - rows;
    pace.flushed({ begunMs, rows, unsettled });
    return pace.restMs;
  };
  await flush();
  return { pace, flush };
}

Deno.test("beside writes a backlog rests for as long as it works", async () => {
  const { flush } = await setUp(40, 10);
  assert.equal(await flush(), 40);
});

Deno.test("a backlog that nobody writes beside does not rest", async () => {
  const { flush } = await setUp(40, 0);
  assert.equal(await flush(), 0);
});

Deno.test("it rests only as far as two rows go for each that comes", async () => {
  const { flush } = await setUp(40, 400);
  // 10 rows come a millisecond, so that 1,000 may take 50 of them.
  assert.equal(await flush(), 10);
});

Deno.test("a backlog that hardly shrinks does not rest", async () => {
  const { flush } = await setUp(40, 900);
  assert.equal(await flush(), 0);
});

Deno.test("a flush that was not full does not rest, and neither does what somebody waits for", async () => {
  const { pace, flush } = await setUp(40, 10);
  assert.equal(await flush(999), 0);
  assert.equal(await flush(), 40);
  pace.hurry();
  assert.equal(pace.restMs, 0);
});

Deno.test("a rest has an end, however long a store takes", async () => {
  const { flush } = await setUp(4_000, 10);
  assert.equal(await flush(), 500);
});

Deno.test("before the second flush nothing is known of what comes", async () => {
  const clock = new FakeClock();
  const pace = new Pace(1_000, clock);
  await clock.advance(40);
  pace.flushed({ begunMs: clock.monotonicMs() - 40, rows: 1_000, unsettled: 50_000 });
  assert.equal(pace.restMs, 0);
});
