/** What every Clock keeps to, by the words of src/ports/clock.ts. */
import assert from "node:assert/strict";
import type { Clock } from "../../src/ports/clock.ts";

interface ClockUnderTest {
  readonly clock: Clock;
  /** Lets so much time pass, or a little more; what fell due has been called when it resolves. */
  pass(ms: number): Promise<void>;
  /** Sets the wall clock; undefined where a test must not. */
  readonly set?: (byMs: number) => void;
}

/** Long beside the steps in which a clock goes. */
const A_WHILE_MS = 20;
/** No test lasts so long. */
const NEVER_MS = 3_600_000;
const ROUNDS_MAX = 100;

export function clockContract(name: string, makeClock: () => ClockUnderTest): void {
  const test = (behaviour: string, work: (tested: ClockUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, () => work(makeClock()));

  test("the date is in whole milliseconds, and both clocks go on", async ({ clock, pass }) => {
    const [nowMs, monotonicMs] = [clock.now(), clock.monotonicMs()];
    assert.ok(Number.isInteger(nowMs), String(nowMs));
    assert.ok(nowMs > Date.UTC(2001, 0) && nowMs < Date.UTC(2101, 0), String(nowMs));
    await pass(A_WHILE_MS);
    assert.ok(clock.now() >= nowMs + A_WHILE_MS - 1, `${clock.now()} after ${nowMs}`);
    const passedMs = clock.monotonicMs() - monotonicMs;
    assert.ok(passedMs >= A_WHILE_MS - 1, `${passedMs} ms`);
  });

  test("a timer is called once, and not before its time", async ({ clock, pass }) => {
    const calls: number[] = [];
    const setMs = clock.monotonicMs();
    clock.setTimeout(() => calls.push(clock.monotonicMs() - setMs), 2 * A_WHILE_MS);
    assert.deepEqual(calls, [], "it was called while it was set");
    await pass(2 * A_WHILE_MS);
    await pass(2 * A_WHILE_MS);
    assert.equal(calls.length, 1);
    assert.ok(calls[0]! >= 2 * A_WHILE_MS - 1, `after ${calls[0]} ms`);
  });

  test("timers are called in order, equal ones as they were set", async ({ clock, pass }) => {
    const order: string[] = [];
    clock.setTimeout(() => order.push("late"), 2 * A_WHILE_MS);
    clock.setTimeout(() => order.push("early"), 1);
    clock.setTimeout(() => order.push("early, set later"), 1);
    await pass(2 * A_WHILE_MS);
    assert.deepEqual(order, ["early", "early, set later", "late"]);
  });

  test("a cancelled timer is not called; cancelling late is no error", async ({ clock, pass }) => {
    let calls = 0;
    const cancel = clock.setTimeout(() => calls++, 1);
    cancel();
    cancel();
    const cancelLate = clock.setTimeout(() => calls += 10, 1);
    await pass(A_WHILE_MS);
    cancelLate();
    assert.equal(calls, 10);
  });

  test("a timer may set another", async ({ clock, pass }) => {
    let inner = false;
    clock.setTimeout(() => clock.setTimeout(() => inner = true, 1), 1);
    await untilTrue(() => inner, pass);
  });

  test("an interval is called again and again, until it is cancelled", async ({ clock, pass }) => {
    let calls = 0;
    const cancel = clock.setInterval(() => calls++, 2);
    assert.equal(calls, 0, "it was called while it was set");
    await untilTrue(() => calls >= 3, pass);
    cancel();
    const before = calls;
    await pass(A_WHILE_MS);
    assert.equal(calls, before);
    cancel();
  });

  test("an interval may cancel itself", async ({ clock, pass }) => {
    let calls = 0;
    const cancel = clock.setInterval(() => {
      if (++calls === 2) cancel();
    }, 2);
    await untilTrue(() => calls === 2, pass);
    await pass(A_WHILE_MS);
    assert.equal(calls, 2);
  });

  if (makeClock().set === undefined) return;
  test("the wall clock set forward or back moves the date alone", async ({ clock, pass, set }) => {
    let calls = 0;
    const cancelNever = clock.setTimeout(() => calls += 100, NEVER_MS);
    clock.setTimeout(() => calls++, A_WHILE_MS);
    for (const byMs of [2 * NEVER_MS, -4 * NEVER_MS]) {
      const [nowMs, monotonicMs] = [clock.now(), clock.monotonicMs()];
      set!(byMs);
      assert.equal(clock.now(), nowMs + byMs);
      assert.equal(clock.monotonicMs(), monotonicMs);
    }
    await pass(A_WHILE_MS);
    assert.equal(calls, 1);
    cancelNever();
  });
}

async function untilTrue(check: () => boolean, pass: ClockUnderTest["pass"]): Promise<void> {
  for (let round = 0; !check(); round++) {
    assert.ok(round < ROUNDS_MAX, `not within ${ROUNDS_MAX * A_WHILE_MS} ms`);
    await pass(A_WHILE_MS);
  }
}
