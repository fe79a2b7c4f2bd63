import assert from "node:assert/strict";
import { ClockWatch } from "../../src/telemetry/clock_watch.ts";
import type { LogFields } from "../../src/telemetry/log.ts";
import { FakeClock } from "../support/fake_clock.ts";

const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 24 * 60 * MINUTE_MS;

function watch(clock: FakeClock, lastAcceptedMs = 0) {
  const warnings: { message: string; fields: LogFields }[] = [];
  let steps = 0;
  const log = {
    warn: (message: string, fields: LogFields = {}) => void warnings.push({ message, fields }),
  };
  const watching = new ClockWatch({ clock, log, steps: { inc: () => steps++ } });
  watching.start(lastAcceptedMs);
  return { watching, warnings, steps: () => steps };
}

Deno.test("a clock a year behind the last write is warned of once, with both times", async () => {
  const clock = new FakeClock(Date.UTC(2025, 5, 1));
  const { warnings, steps } = watch(clock, Date.UTC(2026, 5, 1));
  await clock.advance(10 * MINUTE_MS);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!.message, /behind the last write.*without ts lose/);
  assert.deepEqual(warnings[0]!.fields, {
    event: "clock-stepped",
    now: "2025-06-01T00:00:00.000Z",
    lastAccepted: "2026-06-01T00:00:00.000Z",
    behindSeconds: YEAR_MS / 1000,
  });
  assert.equal(steps(), 1);
});

Deno.test(
  "a clock less than a minute behind, or a directory without writes, is nothing " +
    "to speak of",
  async () => {
    for (const lastAcceptedMs of [0, Date.UTC(2026, 0, 1) + MINUTE_MS, Date.UTC(2020, 0, 1)]) {
      const clock = new FakeClock(Date.UTC(2026, 0, 1));
      const { warnings } = watch(clock, lastAcceptedMs);
      await clock.advance(10 * MINUTE_MS);
      assert.deepEqual(warnings, []);
    }
  },
);

Deno.test("a step while it runs is warned of once, by how much and which way", async () => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const { warnings, steps } = watch(clock);
  await clock.advance(10_500);
  clock.step(-YEAR_MS);
  await clock.advance(MINUTE_MS);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!.message, /set back.*without ts lose/);
  assert.equal(warnings[0]!.fields.bySeconds, -YEAR_MS / 1000);
  assert.match(String(warnings[0]!.fields.now), /^2025-01-01T00:00:1/);
  assert.match(String(warnings[0]!.fields.was), /^2026-01-01T00:00:1/);
  clock.step(2 * MINUTE_MS);
  await clock.advance(MINUTE_MS);
  assert.equal(warnings.length, 2);
  assert.match(warnings[1]!.message, /forward/);
  assert.equal(warnings[1]!.fields.bySeconds, 120);
  assert.equal(steps(), 2);
});

Deno.test("small corrections are followed without a word, however far they lead", async () => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const { warnings } = watch(clock);
  for (let i = 0; i < 20; i++) {
    clock.step(-MINUTE_MS / 2);
    await clock.advance(1_000);
  }
  assert.deepEqual(warnings, []);
});

Deno.test("after the stop no timer is left", () => {
  const clock = new FakeClock();
  const { watching } = watch(clock);
  assert.equal(clock.timers, 1);
  watching.stop();
  assert.equal(clock.timers, 0);
});
