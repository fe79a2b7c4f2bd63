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
