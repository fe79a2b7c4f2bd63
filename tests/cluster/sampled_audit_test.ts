import assert from "node:assert/strict";
import { AuditFindings } from "../../src/cluster/audit_findings.ts";
import { Auditor } from "../../src/cluster/auditor.ts";
import { SampledAuditDuty } from "../../src/cluster/sampled_audit.ts";
import { FakeAudit } from "../support/fake_audit.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { idleMetrics } from "../support/fakes.ts";
import { Random } from "../support/random.ts";

const TERM = { number: 1, leader: "leader" };

/** @param tookMs each check takes so long a number */
function setUp(tookMs = 0.01) {
  const clock = new FakeClock();
  const audit = new FakeAudit();
  const metrics = idleMetrics();
  const lines: string[] = [];
  const error = (message: string, fields = {}) =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  const findings = new AuditFindings({ metrics, log: { error } });
  const random = new Random(7);
  const auditor = new Auditor(audit, clock, findings);
  const duty = new SampledAuditDuty({
    ...{ audit, auditor, findings, clock },
    random: random.next,
  });
  audit.before = (call) => {
    const [first, last] = rangeOf(call);
    return new Promise<void>((resolve) =>
      void clock.setTimeout(resolve, call.startsWith("check") ? (last - first + 1) * tookMs : 1)
    );
  };
  const step = async (forMs = 10_000) => {
    const running = duty.run(TERM, new AbortController().signal);
    running.catch(() => {}); // It is awaited below.
    await settle();
    await clock.advance(forMs);
    await running;
  };
  const metric = async (name: string) => {
    const { text } = await metrics.expose(false);
    return Number(new RegExp(`^dsproxy_audit_${name}_total (\\d+)$`, "m").exec(text)![1]);
  };
  return { audit, duty, step, lines, metric, clock };
}

function rangeOf(call: string): [number, number] {
  const [, first, last] = /(\d+)\.\.(\d+)$/.exec(call) ?? [];
  return [Number(first), Number(last)];
}

const checksOf = ({ calls }: FakeAudit) => calls.filter((call) => call.startsWith("check"));

Deno.test("a step checks a range, which grows to what 250 ms are enough for", async () => {
  const { audit, step, metric } = setUp();
  audit.add("a", 10_000_000);
  for (let i = 0; i < 10; i++) await step();
  const lengths = checksOf(audit).map((call) => rangeOf(call)[1] - rangeOf(call)[0] + 1);
  assert.equal(lengths.length, 10);
  assert.equal(lengths[0], 10_000);
  assert.ok(lengths.slice(3).every((length) => length > 20_000 && length < 30_000), `${lengths}`);
  assert.equal(await metric("checked"), lengths.reduce((sum, length) => sum + length, 0));
});

Deno.test("where the database is slow the range becomes short, and stays within the bounds", async () => {
  const { audit, step } = setUp(1);
  audit.add("a", 10_000_000);
  for (let i = 0; i < 8; i++) await step(20_000);
  const [first, last] = rangeOf(checksOf(audit).at(-1)!);
  assert.equal(last - first + 1, 1_000);
});

Deno.test("the newest numbers are checked more often, the others too", async () => {
  const { audit, step } = setUp();
  const source = audit.add("a", 1_000_000);
  audit.add("still", 1_000_000);
  for (let i = 0; i < 200; i++) {
    source.mark += 1_000;
    await step();
  }
  const checks = checksOf(audit);
  const newest = checks.filter((call) => {
    const [name] = call.split(" ").slice(1);
    return name === "a" && rangeOf(call)[1] >= 1_000_000;
  });
  const ofStill = checks.filter((call) => call.startsWith("check still"));
  assert.ok(newest.length > 60 && newest.length < 150, `${newest.length}`);
  assert.ok(ofStill.length > 20, `${ofStill.length}`);
});

Deno.test("what is missing counts when it is missing still some seconds later, once", async () => {
  const { audit, step, lines, metric } = setUp();
  const { times } = audit.add("a", 100);
  times.set(5, 0).set(9, 2);
  await step();
  assert.deepEqual([await metric("lost"), await metric("doubled")], [0, 0]);
  times.delete(9);
  await step();
  assert.deepEqual([await metric("lost"), await metric("doubled")], [1, 0]);
  for (let i = 0; i < 6; i++) await step();
  assert.equal(await metric("lost"), 1);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /"source":"a","missing":"5"/);
});

Deno.test("a source with nothing to audit is passed over", async () => {
  const { audit, step } = setUp();
  audit.add("old", 50, 50);
  audit.add("new", 10);
  for (let i = 0; i < 5; i++) await step();
  assert.ok(checksOf(audit).every((call) => call === "check new 1..10"));
});

Deno.test("without an index everything is audited, once an hour, unless that takes long", async () => {
  const { audit, step } = setUp();
  audit.isIndexed = false;
  audit.add("a", 10);
  const surveys = () => audit.calls.filter((call) => call === "survey").length;
  for (let i = 0; i < 10; i++) await step();
  assert.equal(surveys(), 1);
  await step(3_600_000);
  await step();
  assert.equal(surveys(), 2);
});

Deno.test("a whole audit that took more than half a minute is not repeated", async () => {
  const { audit, step, clock } = setUp();
  audit.isIndexed = false;
  audit.add("a", 10);
  audit.before = (call) =>
    new Promise<void>((resolve) => void clock.setTimeout(resolve, call === "survey" ? 31_000 : 1));
  await step(40_000);
  await step(7_200_000);
  await step();
  assert.equal(audit.calls.filter((call) => call === "survey").length, 1);
});

Deno.test("a failure is the step's, and the same range is looked at again", async () => {
  const { audit, step, metric } = setUp();
  audit.add("a", 100).times.set(5, 0);
  await step();
  audit.failWith = new Error("away");
  await assert.rejects(step(), /away/);
  audit.failWith = undefined;
  await step();
  assert.equal(await metric("lost"), 1);
});

Deno.test("other duties do not wait for a whole audit; its failure is told by the next step", async () => {
  const { audit, step } = setUp();
  audit.isIndexed = false;
  const gate = Promise.withResolvers<void>();
  audit.before = (call) => call === "survey" ? gate.promise : undefined;
  await step();
  await step();
  gate.reject(new Error("away"));
  await settle();
  await assert.rejects(step(), /away/);
  await step();
  assert.equal(audit.calls.filter((call) => call === "survey").length, 1);
});
