import assert from "node:assert/strict";
import { CommonDeadline } from "../src/deadline.ts";
import { FakeClock, settle } from "./support/fake_clock.ts";

const LIMIT_MS = 100;

function setUp() {
  const clock = new FakeClock();
  const deadline = new CommonDeadline(LIMIT_MS, clock, () => new Error("late"));
  const outcomes: string[] = [];
  const bound = (name: string) => {
    const work = Promise.withResolvers<string>();
    void deadline.within(work.promise).then(
      (result) => outcomes.push(`${name}: ${result}`),
      (error) => outcomes.push(`${name}: ${error.message}`),
    );
    return work;
  };
  return { clock, deadline, outcomes, bound };
}

Deno.test("each piece of work has its own time under a common deadline", async () => {
  const { clock, deadline, outcomes, bound } = setUp();
  bound("first");
  await clock.advance(60);
  bound("second");
  await clock.advance(39);
  assert.deepEqual(outcomes, []);
  await clock.advance(1);
  assert.deepEqual(outcomes, ["first: late"]);
  assert.equal(deadline.waiting, 1);
  await clock.advance(59);
  assert.deepEqual(outcomes, ["first: late"]);
  await clock.advance(1);
  assert.deepEqual(outcomes, ["first: late", "second: late"]);
  assert.equal(clock.timers, 0);
});

Deno.test("work that ends in time settles as it does, and a late result is dropped", async () => {
  const { clock, outcomes, bound } = setUp();
  const [good, bad, late] = [bound("good"), bound("bad"), bound("late")];
  good.resolve("done");
  bad.reject(new Error("refused"));
  await settle();
  await clock.advance(LIMIT_MS);
  late.resolve("done");
  await settle();
  assert.deepEqual(outcomes, ["good: done", "bad: refused", "late: late"]);
});

Deno.test("all work shares one timer", async () => {
  const { clock, bound } = setUp();
  for (let i = 0; i < 10; i++) bound(String(i)).resolve("done");
  await settle();
  assert.equal(clock.timers, 1);
});
