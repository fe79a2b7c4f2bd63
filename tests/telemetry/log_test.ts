import assert from "node:assert/strict";
import { FakeClock } from "../support/fake_clock.ts";
import { limitRate, Log } from "../../src/telemetry/log.ts";

function lines(
  level: "debug" | "info" | "warn" | "error",
  format: "json" | "pretty",
): { log: Log; written: string[] } {
  const written: string[] = [];
  return { log: new Log(level, format, (line) => written.push(line)), written };
}

Deno.test("each line of the JSON format is one object with time, level, message and fields", () => {
  const { log, written } = lines("info", "json");
  log.info("two\nlines", { rows: 3, error: new Error("outer", { cause: new Error("inner") }) });
  const parsed = JSON.parse(written[0]!);
  assert.match(parsed.time, /^\d{4}-.*Z$/);
  assert.deepEqual({ ...parsed, time: "" }, {
    time: "",
    level: "info",
    message: "two\nlines",
    rows: 3,
    error: "outer: inner",
  });
  assert.ok(!written[0]!.includes("\n"));
});

Deno.test("lines below the level are left out", () => {
  const { log, written } = lines("warn", "pretty");
  log.debug("no");
  log.info("no");
  log.warn("yes", { n: 1 });
  log.error("yes");
  assert.equal(written.length, 2);
  assert.match(written[0]!, /WARN +yes n=1$/);
});

Deno.test("a fault that repeats is let through once an interval, and counted", async () => {
  const clock = new FakeClock();
  const seen: [suppressed: number, error: unknown][] = [];
  const report = limitRate(clock, 1_000, (...what) => seen.push(what));
  for (let i = 0; i < 5; i++) report(`first ${i}`);
  await clock.advance(999);
  report("too early");
  clock.step(3_600_000);
  report("the clock was set, no time went by");
  await clock.advance(1);
  report("second");
  await clock.advance(1_000);
  report("third");
  assert.deepEqual(seen, [[0, "first 0"], [6, "second"], [0, "third"]]);
});

Deno.test("a fault that goes on for hours is told ever more seldom, and at once after a rest", async () => {
  const clock = new FakeClock();
  const heldBack: number[] = [];
  const report = limitRate(clock, 1_000, (count) => heldBack.push(count));
  for (let i = 0; i < 72_000; i++) {
    report("again");
    await clock.advance(100);
  }
  assert.ok(heldBack.length > 240 && heldBack.length < 260, String(heldBack.length));
  assert.equal(heldBack.at(-1), 299);
  const { length } = heldBack;
  await clock.advance(1_000);
  report("another one");
  assert.equal(heldBack.length, length + 1);
});

Deno.test("lines of what is traced carry its ids, and no others do", () => {
  const { log, written } = lines("info", "json");
  const traced = log.of({ traceId: "4bf92f3577b34da6", spanId: "00f067aa" });
  traced.warn("slow", { event: "store-away", rows: 1 });
  log.of(undefined).info("other");
  const [first, second] = written.map((line) => JSON.parse(line));
  assert.deepEqual(Object.entries(first).slice(2), [
    ["message", "slow"],
    ["event", "store-away"],
    ["rows", 1],
    ["trace_id", "4bf92f3577b34da6"],
    ["span_id", "00f067aa"],
  ]);
  assert.equal("trace_id" in second, false);
});
