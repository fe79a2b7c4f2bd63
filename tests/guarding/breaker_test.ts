import assert from "node:assert/strict";
import { Breaker, BreakerOpenError } from "../../src/guarding/breaker.ts";
import { RejectedRowError } from "../../src/errors.ts";

function setUp(options: ConstructorParameters<typeof Breaker>[2] = {}) {
  const clock = { ms: 0 };
  const breaker = new Breaker("The store", { monotonicMs: () => clock.ms }, options);
  const calls: string[] = [];
  const fail = () =>
    breaker.run(() => (calls.push("fail"), Promise.reject(new Error("connection refused"))));
  const succeed = () => breaker.run(() => (calls.push("succeed"), Promise.resolve("done")));
  const open = async () => {
    for (let i = 0; i < 5; i++) await assert.rejects(fail(), /connection refused/);
    calls.length = 0;
  };
  return { clock, breaker, calls, fail, succeed, open };
}

Deno.test("calls go through until five have failed in a row", async () => {
  const { breaker, fail, succeed } = setUp();
  for (let i = 0; i < 4; i++) await assert.rejects(fail(), /connection refused/);
  assert.equal(await succeed(), "done");
  for (let i = 0; i < 4; i++) await assert.rejects(fail(), /connection refused/);
  assert.equal(breaker.state, 0);
  await assert.rejects(fail(), /connection refused/);
  assert.equal(breaker.state, 2);
});

Deno.test("an open breaker makes no call, and says why", async () => {
  const { calls, succeed, open } = setUp();
  await open();
  await assert.rejects(succeed(), (error: Error) => {
    assert.ok(error instanceof BreakerOpenError);
    assert.match(error.message, /^The store is not asked/);
    assert.match((error.cause as Error).message, /connection refused/);
    return true;
  });
  assert.deepEqual(calls, []);
});

Deno.test("after a second one call tries, alone; its success lets all through again", async () => {
  const { clock, breaker, calls, succeed, open } = setUp();
  await open();
  clock.ms += 999;
  await assert.rejects(succeed(), BreakerOpenError);
  clock.ms += 1;
  const { promise, resolve } = Promise.withResolvers<string>();
  const probe = breaker.run(() => promise);
  assert.equal(breaker.state, 1);
  await assert.rejects(succeed(), BreakerOpenError);
  assert.deepEqual(calls, []);
  resolve("back");
  assert.equal(await probe, "back");
  assert.equal(breaker.state, 0);
  assert.equal(await succeed(), "done");
});

Deno.test("a failed try keeps it open for another second", async () => {
  const { clock, breaker, calls, fail, succeed, open } = setUp();
  await open();
  clock.ms += 1_000;
  await assert.rejects(fail(), /connection refused/);
  assert.equal(breaker.state, 2);
  clock.ms += 999;
  await assert.rejects(succeed(), BreakerOpenError);
  assert.deepEqual(calls, ["fail"]);
  clock.ms += 1;
  assert.equal(await succeed(), "done");
});

Deno.test("a refused row is an answer, not a failure", async () => {
  const { breaker } = setUp();
  for (let i = 0; i < 20; i++) {
    await assert.rejects(
      breaker.run(() => Promise.reject(new RejectedRowError("23514", "check"))),
      RejectedRowError,
    );
  }
  assert.equal(breaker.state, 0);
});

Deno.test("a late failure of a call from before does not disturb a closed breaker", async () => {
  const { clock, breaker, succeed, open } = setUp();
  const { promise, reject } = Promise.withResolvers<string>();
  const slow = breaker.run(() => promise);
  await open();
  clock.ms += 1_000;
  await succeed();
  reject(new Error("late"));
  await assert.rejects(slow, /late/);
  assert.equal(breaker.state, 0);
});

Deno.test("calls that one lost connection took with it are one failure", async () => {
  const { breaker, fail } = setUp({ countsCauses: true });
  const lost = new Error("connection reset");
  for (let i = 0; i < 10; i++) {
    const failure = i % 2 === 0 ? lost : new Error("an update failed", { cause: lost });
    await assert.rejects(breaker.run(() => Promise.reject(failure)), failure);
  }
  for (let i = 0; i < 3; i++) await assert.rejects(fail(), /connection refused/);
  assert.equal(breaker.state, 0);
  await assert.rejects(fail(), /connection refused/);
  assert.equal(breaker.state, 2);
});

Deno.test("a call that tries whether it is back fails with a known cause, too", async () => {
  const { clock, breaker } = setUp({ countsCauses: true });
  let latest = new Error("0");
  for (let i = 1; i <= 5; i++) {
    await assert.rejects(breaker.run(() => Promise.reject(latest)));
    if (i < 5) latest = new Error(String(i));
  }
  clock.ms = 1_000;
  await assert.rejects(breaker.run(() => Promise.reject(latest)), latest);
  assert.equal(breaker.state, 2);
});
