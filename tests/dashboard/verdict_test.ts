import assert from "node:assert/strict";
import type { InstanceSummary } from "../../src/dashboard/snapshot.ts";
import type { Facts } from "../../src/dashboard/facts.ts";
import { Judge } from "../../src/dashboard/verdict.ts";

type Changes = { readonly [Key in keyof Facts]?: Partial<Facts[Key]> | Facts[Key] };

const WELL: Facts = {
  nowMs: 1_000_000,
  role: "all",
  phase: "serving",
  batchIntervalMs: 2_000,
  journal: { hasFailed: false, refusesWrites: false, maxBytes: 2 ** 30, secondsUntilFull: null },
  queue: { depth: 12, oldestAgeMs: 1_500, isGrowing: false, stalledMs: 0 },
  store: {
    name: "PostgreSQL",
    isAway: false,
    silentMs: 0,
    isBack: false,
    flushesFail: false,
    refuses: false,
    answers: true,
  },
  isPaused: false,
  isDrained: false,
  redis: undefined,
  broker: undefined,
  deadLetters: 0,
  audit: { lost: 0, doubled: 0 },
  hasLeader: true,
  others: [],
};

function facts(changes: Changes): Facts {
  const merged = Object.entries(changes).map(([key, value]) => {
    const before = WELL[key as keyof Facts];
    const isObject = typeof before === "object" && !Array.isArray(before) && before !== null;
    return [key, isObject ? { ...before, ...value as object } : value];
  });
  return { ...WELL, ...Object.fromEntries(merged) };
}

function codes(...changes: Changes[]): string[] {
  return new Judge().judge(facts(Object.assign({}, ...changes))).map(({ code }) => code);
}

const AWAY: Changes = { store: { isAway: true, answers: false } };
const LATE = { depth: 3_402, oldestAgeMs: 40_000 };

Deno.test("without anything wrong all is well, and since when", () => {
  const judge = new Judge();
  judge.judge(WELL);
  assert.deepEqual(judge.judge({ ...WELL, nowMs: WELL.nowMs + 5_000 }), [
    { level: "well", code: "well", text: "All is well.", sinceMs: WELL.nowMs, advice: null },
  ]);
});

Deno.test("an outage of the store is told with its time, what waits, and until when", () => {
  const judge = new Judge();
  const journal = { secondsUntilFull: 2_100 };
  judge.judge(facts(AWAY));
  const later = facts({ ...AWAY, queue: LATE, journal, nowMs: WELL.nowMs + 12_000 });
  const [verdict, ...rest] = judge.judge(later);
  assert.deepEqual([verdict, rest], [{
    level: "problem",
    code: "store-away",
    text: "PostgreSQL has not answered for 12 s; 3,402 writes wait safely in the journal, " +
      "the oldest for 40 s.",
    sinceMs: WELL.nowMs,
    advice:
      "Bring PostgreSQL back: what waits is stored by itself then. At this rate the journal " +
      "is full in 35 min.",
  }, []]);
  assert.equal(judge.judge(WELL)[0].code, "well");
  const [heardOf] = judge.judge(facts({ store: { isAway: true, silentMs: 3_000 } }));
  assert.match(heardOf.text, /^PostgreSQL has not answered for 3 s;/);
  judge.judge(WELL);
  assert.equal(judge.judge(facts({ ...AWAY, nowMs: 2_000_000 }))[0].sinceMs, 2_000_000);
});

Deno.test("each thing that is wrong has its code", () => {
  const [flushesFail, refuses] = [{ flushesFail: true }, { refuses: true }];
  const stalled = { ...LATE, stalledMs: 25_000 };
  const others: InstanceSummary[] = [{
    name: "other/1",
    role: "api",
    leads: false,
    atMs: 0,
    level: "problem",
    text: "PostgreSQL has not answered for 3 s; nothing waits.",
    writesPerSecond: 0,
    readsPerSecond: 0,
    queueDepth: 0,
    oldestAgeSeconds: 0,
  }];
  const expected: readonly (readonly [string, Changes])[] = [
    ["journal-failed", { journal: { hasFailed: true } }],
    ["journal-full", { journal: { refusesWrites: true } }],
    ["recovering", { phase: "recovering" }],
    ["draining", { phase: "draining" }],
    ["store-away", AWAY],
    ["store-away", { store: { ...flushesFail, answers: false } }],
    ["flushes-fail", { store: flushesFail }],
    ["store-refuses", { store: refuses }],
    ["delivery-stalled", { queue: { ...stalled, oldestAgeMs: 5_000 } }],
    ["journal-filling", { queue: LATE, journal: { secondsUntilFull: 900 } }],
    ["queue-growing", { queue: { ...LATE, isGrowing: true } }],
    ["catching-up", { queue: LATE }],
    ["catching-up", { store: { isBack: true }, queue: { ...stalled, isGrowing: true } }],
    ["redis-away", { redis: "is away" }],
    ["redis-refuses", { redis: "refuses" }],
    ["broker-away", { broker: { name: "Kafka", isAway: true } }],
    ["dead-letters", { deadLetters: 1 }],
    ["audit", { audit: { lost: 3, doubled: 0 } }],
    ["paused", { isPaused: true }],
    ["drained", { isDrained: true }],
    ["other-instance", { others }],
  ];
  for (const [code, changes] of expected) assert.equal(codes(changes)[0], code, code);
});

Deno.test("an instance that has stopped sending is not well, though nothing has failed", () => {
  const queue = { ...LATE, stalledMs: 25_000 };
  const [verdict] = new Judge().judge(facts({ queue }));
  assert.match(verdict.text, /^Nothing has reached PostgreSQL for 25 s, though it answers; 3,402 /);
  assert.equal(verdict.level, "problem");
  const idle = { depth: 0, oldestAgeMs: 0, stalledMs: 0 };
  assert.deepEqual(codes({ queue: idle }), ["well"]);
  const patient: Changes = { queue: { ...LATE, stalledMs: 11_000, oldestAgeMs: 11_000 } };
  assert.deepEqual(codes(patient), ["well"]);
});

Deno.test("what a person has stopped is said first, and what to do about it", () => {
  const { store } = WELL;
  const backAgain = { ...store, isBack: true };
  assert.deepEqual(codes({ isPaused: true, deadLetters: 1 }), ["paused", "dead-letters"]);
  assert.deepEqual(codes({ isPaused: true, store: backAgain }), ["paused"]);
  const failed = { ...store, flushesFail: true, answers: false };
  assert.deepEqual(codes({ isPaused: true, store: failed }), ["paused"]);
  const [soon] = new Judge().judge(facts({ isPaused: true, journal: { secondsUntilFull: 300 } }));
  assert.equal(soon.level, "problem");
  assert.match(soon.advice!, /Resume it.*the journal is full in 5 min/);
  const [full] = new Judge().judge(facts({ isPaused: true, journal: { refusesWrites: true } }));
  assert.match(full.advice!, /^Resume it/);
  const [drained] = new Judge().judge(facts({ isDrained: true }));
  assert.equal(drained.level, "problem");
});

Deno.test("problems come before warnings, and what follows from one is not told again", () => {
  const queue = { ...LATE, stalledMs: 25_000, isGrowing: true };
  assert.deepEqual(codes(AWAY, { queue, journal: { secondsUntilFull: 60 } }), ["store-away"]);
  assert.deepEqual(codes({ queue, isPaused: true }), ["paused"]);
  assert.deepEqual(
    codes(AWAY, { redis: "is away", deadLetters: 2, audit: { doubled: 1 } }),
    ["store-away", "audit", "redis-away", "dead-letters"],
  );
  const journal = { refusesWrites: true };
  assert.deepEqual(codes(AWAY, { journal }), ["journal-full", "store-away"]);
  const broker = { name: "RabbitMQ", isAway: true };
  assert.deepEqual(codes(AWAY, { role: "worker", broker }), ["store-away"]);
});

Deno.test("nobody leading is told when it lasts, and not of a worker", () => {
  const judge = new Judge();
  const leaderless = (nowMs: number) => facts({ hasLeader: false, nowMs });
  assert.equal(judge.judge(leaderless(1_000))[0].code, "well");
  assert.equal(judge.judge(leaderless(30_000))[0].code, "well");
  assert.deepEqual(
    [judge.judge(leaderless(31_000))[0]].map(({ code, sinceMs }) => [code, sinceMs]),
    [["no-leader", 1_000]],
  );
  assert.deepEqual(codes({ hasLeader: undefined }), ["well"]);
});

Deno.test("one write that waits is one", () => {
  const [verdict] = new Judge().judge(facts({ ...AWAY, queue: { depth: 1, oldestAgeMs: 90_000 } }));
  assert.match(verdict.text, /; 1 write waits safely in the journal, the oldest for 90 s\.$/);
  const [worker] = new Judge().judge(facts({ ...AWAY, role: "worker" }));
  assert.match(worker.text, /12 writes wait safely at the broker/);
});
