import assert from "node:assert/strict";
import { Leadership } from "../../src/cluster/leadership.ts";
import { StoreUnavailableError, TermOverError } from "../../src/errors.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { FakeDuty, FakeLease, FakeTerms } from "../support/fake_lease.ts";
import { idleMetrics } from "../support/fakes.ts";

const LIFE_MS = 9_000;
const THIRD_MS = LIFE_MS / 3;

class Cluster {
  readonly clock = new FakeClock();
  readonly lease = new FakeLease(this.clock);
  readonly terms = new FakeTerms();
  readonly lines: string[] = [];
  readonly metrics = idleMetrics();

  instance(name: string, duties: readonly FakeDuty[] = []): Leadership {
    const { clock, lease, terms, metrics } = this;
    const log = new Log("info", "json", (line) => this.lines.push(`${name} ${line}`));
    const leadership = new Leadership({
      ...{ lease, terms, duties, clock, log, metrics },
      name: () => name,
      random: () => 0.5,
      lifeMs: LIFE_MS,
    });
    leadership.start();
    return leadership;
  }

  said(text: RegExp): number {
    return this.lines.filter((line) => text.test(line)).length;
  }
}

async function counted(cluster: Cluster, duty: string, outcome: string): Promise<string> {
  const { text } = await cluster.metrics.expose(false);
  const series = `dsproxy_duty_steps_total{duty="${duty}",outcome="${outcome}"} `;
  return text.split("\n").find((line) => line.startsWith(series))!.slice(series.length);
}

Deno.test("of two instances one leads, and does its duties", async () => {
  const cluster = new Cluster();
  const [duty, idle] = [new FakeDuty("sweep", 1_000), new FakeDuty("sweep", 1_000)];
  const first = cluster.instance("a/1", [duty]);
  await settle();
  const second = cluster.instance("b/1", [idle]);
  await cluster.clock.advance(3 * LIFE_MS + 1);
  assert.deepEqual([first.leads, second.leads], [true, false]);
  assert.equal(duty.steps.length, 28, "at once, and then a second after each");
  assert.deepEqual([...new Set(duty.steps)], [1], "in one term");
  assert.equal(idle.steps.length, 0);
  assert.match(
    first.description,
    /^this instance, a\/1, since 2026-01-01T00:00:00.000Z \(term 1\)$/,
  );
  assert.match(second.description, /^a\/1, since 2026-01-01T00:00:00.000Z$/);
  assert.equal(cluster.said(/This instance leads"/), 1);
  assert.equal(cluster.said(/Another instance leads/), 1);
  assert.equal(await counted(cluster, "sweep", "ok"), "28");
  await Promise.all([first.stop(), second.stop()]);
});

Deno.test("the lease is prolonged at a third of its life", async () => {
  const cluster = new Cluster();
  const leader = cluster.instance("a/1");
  await settle();
  for (let i = 1; i < 5; i++) {
    assert.equal(cluster.lease.calls.length, i);
    await cluster.clock.advance(THIRD_MS);
  }
  await leader.stop();
});

Deno.test("another leads once the leader's lease is over", async () => {
  const cluster = new Cluster();
  cluster.lease.giveTo("gone/1");
  cluster.lease.held = { ...cluster.lease.held!, endMs: cluster.clock.monotonicMs() + LIFE_MS };
  const leader = cluster.instance("a/1");
  await cluster.clock.advance(LIFE_MS - 1);
  assert.equal(leader.leads, false);
  await cluster.clock.advance(THIRD_MS + 1);
  assert.equal(leader.leads, true);
  await leader.stop();
});

Deno.test("who cannot prolong the lease stops its duties before another can have it", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 10);
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  const takenMs = cluster.clock.monotonicMs();
  cluster.lease.failWith = new Error("Redis is away");
  await cluster.clock.advance(LIFE_MS - 1);
  assert.equal(leader.leads, true);
  assert.equal(duty.signal!.aborted, false);
  await cluster.clock.advance(1);
  assert.deepEqual([leader.leads, duty.signal!.aborted], [false, true]);
  assert.ok(cluster.clock.monotonicMs() <= takenMs + LIFE_MS);
  assert.match(leader.description, /^nobody is known to lead: Redis is away$/);
  assert.equal(cluster.said(/leads no more.*could not be prolonged in time/), 1);
  await cluster.clock.advance(60_000);
  assert.equal(cluster.said(/cannot lead/), 1, "told once");
  cluster.lease.failWith = undefined;
  await cluster.clock.advance(60_000 + THIRD_MS);
  assert.equal(leader.leads, true);
  assert.equal(duty.steps.at(-1), 2, "in a new term");
  await leader.stop();
});

Deno.test("the lease's end is counted from before it was asked for", async () => {
  const cluster = new Cluster();
  const leader = cluster.instance("a/1");
  await cluster.clock.advance(THIRD_MS - 1);
  const askedMs = cluster.clock.monotonicMs() + 1;
  const silence = Promise.withResolvers<void>();
  cluster.lease.silence = silence.promise;
  await cluster.clock.advance(THIRD_MS - 1);
  cluster.lease.silence = undefined;
  silence.resolve();
  await settle();
  cluster.lease.failWith = new Error("Redis is away");
  await cluster.clock.advance(askedMs + LIFE_MS - 1 - cluster.clock.monotonicMs());
  assert.equal(leader.leads, true);
  await cluster.clock.advance(1);
  assert.equal(leader.leads, false);
  await leader.stop();
});

Deno.test("setting the machine's clock neither ends nor prolongs anything", async () => {
  const cluster = new Cluster();
  const leader = cluster.instance("a/1");
  await settle();
  cluster.clock.step(3_600_000);
  await settle();
  assert.equal(leader.leads, true);
  cluster.clock.step(-7_200_000);
  cluster.lease.failWith = new Error("Redis is away");
  await cluster.clock.advance(LIFE_MS);
  assert.equal(leader.leads, false);
  await leader.stop();
});

Deno.test("a process that was asleep past its lease begins no step, whichever timer comes first", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  const asleep = cluster.clock.monotonicMs() + 2 * LIFE_MS;
  const steps = duty.steps.length;
  cluster.clock.monotonicMs = () => asleep;
  cluster.lease.giveTo("b/1");
  await cluster.clock.advance(100);
  assert.equal(duty.steps.length, steps);
  assert.equal(leader.leads, false);
  await leader.stop();
});

Deno.test("who learns that another has the lease stops at once", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  cluster.lease.giveTo("b/1"); // Redis was emptied in between.
  await cluster.clock.advance(THIRD_MS);
  assert.deepEqual([leader.leads, duty.signal!.aborted], [false, true]);
  assert.match(leader.description, /^b\/1/);
  await leader.stop();
});

Deno.test("a term that is over ends the office at once, and leaves it to others for a while", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  duty.work = () =>
    duty.steps.length < 3 ? Promise.resolve() : Promise.reject(new TermOverError("b/1 leads"));
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  await cluster.clock.advance(200);
  assert.deepEqual([leader.leads, duty.signal!.aborted], [false, true]);
  await cluster.clock.advance(THIRD_MS);
  assert.equal(cluster.lease.held, undefined, "it is given back");
  await cluster.clock.advance(THIRD_MS);
  assert.equal(cluster.lease.held, undefined, "and left for who asks in a third of its life");
  assert.equal(cluster.said(/Redis was emptied, or not all instances have the same/), 1);
  await leader.stop();
});

Deno.test("a leader that is superseded learns it from the store, also without duties", async () => {
  const cluster = new Cluster();
  const leader = cluster.instance("a/1");
  await settle();
  await cluster.terms.begin("b/1");
  await cluster.clock.advance(THIRD_MS);
  assert.equal(leader.leads, false);
  await leader.stop();
});

Deno.test("a leader that does not reach the store lets another lead", async () => {
  const cluster = new Cluster();
  const leader = cluster.instance("a/1");
  await settle();
  cluster.terms.failWith = new StoreUnavailableError("away");
  await cluster.clock.advance(2 * THIRD_MS);
  assert.equal(leader.leads, true, "it may be back in time");
  await cluster.clock.advance(THIRD_MS);
  assert.equal(leader.leads, false);
  await cluster.clock.advance(THIRD_MS);
  assert.equal(cluster.lease.held, undefined);
  assert.equal(cluster.said(/leads no more.*store did not answer in time/), 1);
  await leader.stop();
});

Deno.test("with the lease and without a term nobody leads, and the lease is given back", async () => {
  const cluster = new Cluster();
  cluster.terms.failWith = new StoreUnavailableError("away");
  const leader = cluster.instance("a/1");
  await settle();
  assert.equal(leader.leads, false);
  assert.equal(cluster.lease.held, undefined);
  assert.match(leader.description, /^nobody is known to lead: away$/);
  cluster.terms.failWith = undefined;
  await cluster.clock.advance(2 * LIFE_MS);
  assert.equal(leader.leads, true);
  await leader.stop();
});

Deno.test("a step that does not end keeps its instance from leading again", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  const ending = Promise.withResolvers<void>();
  duty.work = () => ending.promise;
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  cluster.lease.giveTo("b/1");
  await cluster.clock.advance(THIRD_MS);
  cluster.lease.held = undefined;
  await cluster.clock.advance(2 * LIFE_MS);
  assert.deepEqual([leader.leads, duty.steps.length], [false, 1]);
  ending.resolve();
  await cluster.clock.advance(2 * LIFE_MS);
  assert.equal(leader.leads, true);
  assert.ok(duty.steps.length > 1);
  await leader.stop();
});

Deno.test("a stop ends the step under way, gives the lease back, and closes it", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  duty.work = (signal) =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  await leader.stop();
  assert.equal(cluster.lease.held, undefined);
  assert.equal(cluster.lease.isClosed, true);
  assert.equal(cluster.said(/"level":"info","message":"This instance leads no more"/), 1);
  assert.equal(cluster.clock.timers, 0);
});

Deno.test("a stop waits for no answer and no step for longer than a moment", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  duty.work = () => new Promise(() => {});
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  cluster.lease.silence = new Promise(() => {});
  await cluster.clock.advance(THIRD_MS + 1);
  let hasStopped = false;
  const stopped = leader.stop().then(() => hasStopped = true);
  await settle();
  await cluster.clock.advance(1_500);
  assert.equal(hasStopped, true);
  await stopped;
  assert.equal(cluster.clock.timers, 0);
});

Deno.test("a stop that meets the answer of a new term begins no office", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  const begun = Promise.withResolvers<{ number: number; leader: string }>();
  cluster.terms.begin = () => begun.promise;
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  begun.resolve({ number: 1, leader: "a/1" });
  await leader.stop();
  assert.deepEqual([leader.leads, duty.steps.length], [false, 0]);
  assert.equal(cluster.lease.held, undefined);
  assert.equal(cluster.clock.timers, 0);
});

Deno.test("a step that outlives its office and is refused says nothing of the next one", async () => {
  const cluster = new Cluster();
  const duty = new FakeDuty("sweep", 100);
  const ending = Promise.withResolvers<void>();
  duty.work = () => ending.promise;
  const leader = cluster.instance("a/1", [duty]);
  await settle();
  cluster.lease.giveTo("b/1");
  await cluster.clock.advance(THIRD_MS);
  ending.reject(new TermOverError("b/1 leads"));
  await settle();
  cluster.lease.held = undefined;
  duty.work = () => Promise.resolve();
  await cluster.clock.advance(THIRD_MS);
  assert.equal(leader.leads, true, "it does not rest");
  assert.equal(cluster.said(/though this one had the lease/), 0);
  await leader.stop();
});
