import assert from "node:assert/strict";
import { systemClock } from "../../src/ports/clock.ts";
import { SimulatedClock, World } from "../simulation/world.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { delay } from "../support/services.ts";
import { clockContract } from "./clock_suite.ts";

clockContract("the system's clock", () => ({ clock: systemClock, pass: delay }));

clockContract("the fake clock", () => {
  const clock = new FakeClock();
  return { clock, pass: (ms) => clock.advance(ms), set: (byMs) => clock.step(byMs) };
});

clockContract("the simulated clock", () => {
  const world = new World(1);
  let wallOffsetMs = Date.UTC(2026, 0);
  return {
    clock: new SimulatedClock(world, { alive: true }, () => wallOffsetMs),
    async pass(ms) {
      let passed = false;
      world.after(ms, "time passes", () => passed = true);
      while (!passed) await world.step();
    },
    set: (byMs) => wallOffsetMs += byMs,
  };
});

Deno.test("the simulated clock: nothing of a process that has ended is called", async () => {
  const world = new World(1);
  const process = { alive: true };
  const clock = new SimulatedClock(world, process, () => 0);
  let calls = 0;
  clock.setTimeout(() => calls++, 1);
  clock.setInterval(() => calls++, 1);
  process.alive = false;
  await world.step();
  await world.step();
  assert.equal(calls, 0);
});
