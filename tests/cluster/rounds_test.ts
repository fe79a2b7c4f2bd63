import assert from "node:assert/strict";
import { Rounds } from "../../src/cluster/rounds.ts";
import { TermOverError } from "../../src/errors.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { FakeDuty } from "../support/fake_lease.ts";
import { idleMetrics } from "../support/fakes.ts";
import { Log } from "../../src/telemetry/log.ts";

const TERM = { number: 3, leader: "a/1" };

async function start(duties: readonly FakeDuty[], clock = new FakeClock()) {
  const lines: string[] = [];
  const log = new Log("info", "json", (line) => lines.push(line));
  const rounds = new Rounds(duties, { clock, random: () => 0.999, log, metrics: idleMetrics() });
  const over = new AbortController();
  const running = rounds.run(TERM, over.signal, () => true);
  running.catch(() => {}); // Who awaits it later is told.
  await settle();
  return { clock, lines, running, rounds, over };
}

Deno.test("each duty has its own interval, from the end of one step to the next", async () => {
  const [seldom, often] = [new FakeDuty("seldom", 1_000), new FakeDuty("often", 100)];
  const clock = new FakeClock();
  seldom.work = () => new Promise((resolve) => void clock.setTimeout(resolve, 500));
  const { running, over } = await start([seldom, often], clock);
  await clock.advance(10_000);
  assert.equal(seldom.steps.length, 7);
  // One step at a time: the long ones of the other duty hold this one up.
  assert.ok(often.steps.length >= 60 && often.steps.length <= 70, String(often.steps.length));
  over.abort();
  await clock.advance(500);
  await running;
});

Deno.test("two steps are never under way at the same time", async () => {
  const clock = new FakeClock();
  let underWay = 0;
  let most = 0;
  const duties = [1, 2, 3].map((i) => new FakeDuty(`duty ${i}`, 70 * i));
  for (const duty of duties) {
    duty.work = async () => {
      most = Math.max(most, ++underWay);
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, 40));
      underWay--;
    };
  }
  const { over } = await start(duties, clock);
  await clock.advance(5_000);
  assert.equal(most, 1);
  for (const { steps } of duties) assert.ok(steps.length > 5);
  over.abort();
  await clock.advance(100);
});

Deno.test("a duty that fails is tried again ever more seldom, told once, and holds up no other", async () => {
  const [bad, good] = [new FakeDuty("bad", 3_600_000), new FakeDuty("good", 1_000)];
  bad.work = () => Promise.reject(new Error("no right"));
  const { clock, lines, over } = await start([bad, good]);
  await clock.advance(60_000);
  assert.ok(bad.steps.length >= 5 && bad.steps.length <= 8, String(bad.steps.length));
  assert.ok(good.steps.length >= 55);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /"bad\\" fails; it is tried again",.*"error":"no right"/);
  bad.work = () => Promise.resolve();
  await clock.advance(61_000);
  assert.equal(lines.length, 2);
  assert.match(lines[1]!, /"bad\\" is done again/);
  over.abort();
});

Deno.test("a step that is given up with the lease has not failed", async () => {
  const duty = new FakeDuty("sweep", 1_000);
  duty.work = (signal) =>
    new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(new Error("given up")))
    );
  const { lines, running, over } = await start([duty]);
  over.abort();
  await running;
  assert.deepEqual(lines, []);
});

Deno.test("a term that is over ends the rounds", async () => {
  const duty = new FakeDuty("sweep", 1_000);
  duty.work = () => Promise.reject(new TermOverError("b/1 leads"));
  const { clock, running } = await start([duty]);
  await assert.rejects(running, TermOverError);
  assert.equal(clock.timers, 0);
});

Deno.test("a duty that was done a moment ago is not due again because another term begins", async () => {
  const duty = new FakeDuty("sweep", 60_000);
  const { clock, rounds, running, over } = await start([duty]);
  await clock.advance(1_000);
  over.abort();
  await running;
  const again = new AbortController();
  const more = rounds.run({ number: 4, leader: "a/1" }, again.signal, () => true);
  await clock.advance(58_000);
  assert.deepEqual(duty.steps, [3]);
  await clock.advance(2_000);
  assert.deepEqual(duty.steps, [3, 4]);
  again.abort();
  await more;
});
