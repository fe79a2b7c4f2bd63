import assert from "node:assert/strict";
import { createMemoryFlushSlots } from "../../src/adapters/memory/flush_slots.ts";
import { LayeredSlots } from "../../src/cluster/layered_slots.ts";
import type { FlushSlots } from "../../src/ports/flush_slots.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { NEVER, STORE } from "../contract/flush_slots_suite.ts";

const WAIT_MS = 1_000;

/** Shared slots that can be away; two may be held by everybody, and one by this process. */
function setUp() {
  const clock = new FakeClock();
  const state = { isAway: false, fallbacks: 0, closed: 0 };
  const inner = createMemoryFlushSlots({ count: 2, waitMs: WAIT_MS, clock });
  const shared: FlushSlots = {
    async acquire(store, signal) {
      await Promise.resolve();
      if (state.isAway) throw new Error("Redis is away");
      return await inner.acquire(store, signal);
    },
    close: () => Promise.resolve(void state.closed++),
  };
  const lines: string[] = [];
  const slots = new LayeredSlots({
    local: createMemoryFlushSlots({ count: 1, waitMs: WAIT_MS, clock }),
    shared,
    metrics: { flushSlotFallbacks: { inc: () => state.fallbacks++ } as never },
    clock,
    log: new Log("info", "json", (line) => lines.push(JSON.parse(line).message)),
  });
  return { clock, slots, shared, state, lines };
}

Deno.test("a flush holds a slot of its process and a shared one, and gives both back", async () => {
  const { slots, shared } = setUp();
  const own = await slots.acquire(STORE, NEVER);
  const others = await shared.acquire(STORE, NEVER);
  const waits = shared.acquire(STORE, NEVER);
  own!.release();
  assert.ok(await waits);
  others!.release();
  assert.ok(await slots.acquire(STORE, NEVER));
});

Deno.test("while the shared slots are away a process is bounded by itself; that is told once, and counted", async () => {
  const { clock, slots, state, lines } = setUp();
  state.isAway = true;
  const first = await slots.acquire(STORE, NEVER);
  assert.ok(first);
  let second: unknown = "waits";
  const waiting = slots.acquire(STORE, NEVER).then((slot) => second = slot);
  await settle();
  assert.equal(second, "waits");
  first.release();
  await waiting;
  assert.ok(second);
  assert.deepEqual([state.fallbacks, lines.length], [2, 1]);
  assert.match(lines[0]!, /in this process alone/);
  await clock.advance(WAIT_MS);
});

Deno.test("once they are back the shared slots bound it again, and that is told", async () => {
  const { clock, slots, state, lines } = setUp();
  for (const isAway of [true, false, false, true, false]) {
    state.isAway = isAway;
    await clock.advance(10_000);
    (await slots.acquire(STORE, NEVER))!.release();
  }
  assert.deepEqual([state.fallbacks, lines.length], [2, 4]);
});

Deno.test("a wait for a shared slot that ends without one gives back that of the process", async () => {
  const { clock, slots, shared } = setUp();
  const others = [await shared.acquire(STORE, NEVER), await shared.acquire(STORE, NEVER)];
  const waiting = slots.acquire(STORE, NEVER);
  await settle();
  await clock.advance(WAIT_MS);
  assert.equal(await waiting, undefined);
  for (const slot of others) slot!.release();
  assert.ok(await slots.acquire(STORE, NEVER));
});
