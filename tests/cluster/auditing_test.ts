import assert from "node:assert/strict";
import { AuditFindings } from "../../src/cluster/audit_findings.ts";
import { auditAll } from "../../src/cluster/auditing.ts";
import { Auditor } from "../../src/cluster/auditor.ts";
import { FakeAudit } from "../support/fake_audit.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { idleMetrics } from "../support/fakes.ts";

const clock = new FakeClock();

Deno.test("sources whose sums agree are not looked at number by number", async () => {
  const audit = new FakeAudit();
  audit.add("a", 10);
  audit.add("b", 30, 20);
  const { totals, findings, complete, cannotKnow } = await auditAll(audit, clock);
  assert.deepEqual(audit.calls, ["survey"]);
  assert.deepEqual([totals.numbers, totals.unknown, totals.sources], [20, 20, 2]);
  assert.deepEqual([findings, complete], [[], true]);
  assert.match(cannotKnow[0]!, /^20 numbers were brought by earlier releases/);
});

Deno.test("missing numbers are named across ranges, doubled ones with how often", async () => {
  const audit = new FakeAudit();
  const { times } = audit.add("a", 25, 3);
  for (const seq of [12, 13, 14]) times.set(seq, 0);
  times.set(20, 3);
  const limits = { rangeNumbers: 10, named: 100 };
  const { missing, doubled, findings } = await auditAll(audit, clock, limits);
  assert.deepEqual([missing, doubled], [3, 1]);
  assert.deepEqual(findings, [{
    source: "a",
    missing: [{ first: 12, last: 14 }],
    doubled: [{ seq: 20, times: 3 }],
    strays: [],
  }]);
  assert.deepEqual(audit.calls, [
    "survey",
    ...["check a 4..13", "check a 4..13", "check a 14..23", "check a 14..23", "check a 24..25"],
  ]);
});

Deno.test("what only one of two looks finds is not reported", async () => {
  const audit = new FakeAudit();
  const source = audit.add("a", 10);
  source.times.set(5, 0);
  source.times.set(7, 2);
  source.strays = [12];
  const looks = { check: 0, strays: 0 };
  audit.before = (call) => {
    if (call.startsWith("check") && ++looks.check === 2) {
      source.times.clear();
      source.times.set(6, 0);
    }
    if (call.startsWith("strays") && ++looks.strays === 2) source.strays = [13];
  };
  const { findings, missing, doubled, strays } = await auditAll(audit, clock);
  assert.deepEqual([findings, missing, doubled, strays], [[], 0, 0, 0]);
  assert.deepEqual(looks, { check: 2, strays: 2 });
});

Deno.test("a row without a mark is a stray", async () => {
  const audit = new FakeAudit();
  audit.add("a", 0).strays = [4, 9];
  const { findings, strays, complete } = await auditAll(audit, clock);
  assert.deepEqual(findings, [{ source: "a", missing: [], doubled: [], strays: [4, 9] }]);
  assert.deepEqual([strays, complete], [2, true]);
});

Deno.test("when enough is named it ends, and says that there is more", async () => {
  const audit = new FakeAudit();
  const { times } = audit.add("a", 1_000);
  for (let seq = 2; seq < 1_000; seq += 2) times.set(seq, 0);
  audit.add("b", 10).times.set(1, 0);
  const { findings, complete } = await auditAll(audit, clock, { rangeNumbers: 100, named: 60 });
  assert.equal(complete, false);
  assert.deepEqual(findings.map(({ source }) => source), ["a"]);
  assert.ok(findings[0]!.missing.length >= 60 && findings[0]!.missing.length <= 110);
  assert.ok(audit.calls.length < 10);
});

Deno.test("more strays than are named are told of, and a source that is cut off", async () => {
  const audit = new FakeAudit();
  audit.add("a", 0).strays = Array.from({ length: 20 }, (_, i) => i + 1);
  const { complete, strays } = await auditAll(audit, clock, { rangeNumbers: 100, named: 10 });
  assert.deepEqual([complete, strays], [false, 10]);
});

Deno.test("sums that do not agree though nothing is missing are told of", async () => {
  const audit = new FakeAudit();
  audit.add("a", 10).disagrees = true;
  const { findings, cannotKnow } = await auditAll(audit, clock);
  assert.deepEqual(findings, []);
  assert.ok(cannotKnow.some((it) => it.startsWith("Rows of a have numbers")));
});

function auditorOver(audit: FakeAudit) {
  const metrics = idleMetrics();
  const lines: string[] = [];
  const error = (message: string, fields = {}) =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  const findings = new AuditFindings({ metrics, log: { error } });
  return { auditor: new Auditor(audit, clock, findings), metrics, lines };
}

Deno.test("who asks while an audit runs shares the next one: it has what happened before", async () => {
  const audit = new FakeAudit();
  const { times } = audit.add("a", 10);
  let release = () => {};
  audit.before = () => new Promise<void>((resolve) => release = resolve);
  const { auditor } = auditorOver(audit);
  const first = auditor.report();
  await settle();
  const waiting = [auditor.report(), auditor.report()];
  audit.before = () => {};
  release();
  times.set(3, 0);
  const reports = await Promise.all(waiting);
  assert.ok(reports[0] === reports[1] && reports[0] !== await first);
  assert.equal(reports[0]!.missing, 1);
  assert.equal(audit.calls.filter((call) => call === "survey").length, 2);
});

Deno.test("an audit that fails is nobody else's failure", async () => {
  const audit = new FakeAudit();
  let calls = 0;
  audit.before = () => void (audit.failWith = calls++ === 0 ? new Error("away") : undefined);
  const { auditor } = auditorOver(audit);
  const first = auditor.report();
  const second = auditor.report();
  await assert.rejects(first, /away/);
  assert.equal((await second).complete, true);
});

Deno.test("each number is counted and logged once, however often it is found", async () => {
  const audit = new FakeAudit();
  const { times } = audit.add("a", 10);
  times.set(3, 0).set(4, 0).set(8, 2);
  const { auditor, metrics, lines } = auditorOver(audit);
  await auditor.report();
  await auditor.report();
  times.set(5, 0);
  await auditor.report();
  const { text } = await metrics.expose(false);
  assert.match(text, /^dsproxy_audit_lost_total 3$/m);
  assert.match(text, /^dsproxy_audit_doubled_total 1$/m);
  assert.match(text, /^dsproxy_audit_checked_total 30$/m);
  assert.equal(lines.length, 2);
  assert.match(lines[0]!, /"source":"a","missing":"3\.\.4","doubled":"8"/);
  assert.match(lines[1]!, /"missing":"5"\}$/);
});
