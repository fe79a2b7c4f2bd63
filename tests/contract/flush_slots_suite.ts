/**
 * What all slots for flushes owe their callers, as the words of the port `FlushSlots` say. Run by
 * flush_slots_test.ts over all of them.
 */
import assert from "node:assert/strict";
import type { FlushSlot, FlushSlots } from "../../src/ports/flush_slots.ts";
import { delay } from "../support/services.ts";

export interface SlotsUnderTest {
  readonly slots: FlushSlots;
  /** Another instance that shares them, where there is one. */
  readonly peer: FlushSlots;
}

export interface SlotLimits {
  readonly count: number;
  readonly waitMs: number;
}

export const NEVER = new AbortController().signal;
export const STORE = "a-store";
const PATIENT_MS = 30_000;
/** Somebody who waits is not given anything within this. */
const STILL_MS = 150;

export function flushSlotsContract(
  name: string,
  make: (limits: SlotLimits) => SlotsUnderTest,
): void {
  const test = (
    behaviour: string,
    count: number,
    run: (slots: FlushSlots, peer: FlushSlots) => Promise<void>,
    waitMs = PATIENT_MS,
  ) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      const { slots, peer } = make({ count, waitMs });
      try {
        await run(slots, peer);
      } finally {
        await slots.close();
        if (peer !== slots) await peer.close();
      }
    });

  test("so many are held at a time, and one that is released is another's", 2, async (a, b) => {
    const first = await granted(a);
    const second = await granted(b);
    const third = a.acquire(STORE, NEVER);
    assert.equal(await isSettled(third), false);
    second.release();
    (await third)!.release();
    first.release();
  });

  test("who came first is served first", 1, async (a, b) => {
    (await granted(b)).release(); // It is connected by now.
    const held = await granted(a);
    const served: number[] = [];
    const waits: Promise<void>[] = [];
    for (let i = 0; i < 6; i++) {
      const wait = (i % 2 === 0 ? a : b).acquire(STORE, NEVER);
      waits.push(wait.then((slot) => {
        served.push(i);
        slot!.release();
      }));
      await delay(60); // The order of those who come at the same time is nobody's concern.
    }
    held.release();
    await Promise.all(waits);
    assert.deepEqual(served, [0, 1, 2, 3, 4, 5]);
  });

  test("a wait ends by its signal, and leaves its place to the next", 1, async (a, b) => {
    const held = await granted(a);
    const impatient = new AbortController();
    const ended = b.acquire(STORE, impatient.signal);
    await delay(30);
    const next = b.acquire(STORE, NEVER);
    await delay(30);
    impatient.abort();
    assert.equal(await ended, undefined);
    held.release();
    (await next)!.release();
  });

  test("who gave up before asking gets none", 1, async (a) => {
    const gone = new AbortController();
    gone.abort();
    assert.equal(await a.acquire(STORE, gone.signal), undefined);
    (await granted(a)).release();
  });

  test("a wait ends by itself", 1, async (a, b) => {
    const held = await granted(a);
    assert.equal(await b.acquire(STORE, NEVER), undefined);
    held.release();
    (await granted(b)).release();
  }, 300);

  test("a slot that is released twice is given back once", 1, async (a, b) => {
    const first = await granted(a);
    first.release();
    const second = await granted(b);
    first.release();
    const third = b.acquire(STORE, NEVER);
    assert.equal(await isSettled(third), false);
    second.release();
    (await third)!.release();
  });

  test("many who come at once are all served, and never too many at a time", 3, async (a, b) => {
    let [held, most] = [0, 0];
    await Promise.all(Array.from({ length: 30 }, async (_, i) => {
      const slot = await granted(i % 2 === 0 ? a : b);
      most = Math.max(most, ++held);
      await delay(5);
      held--;
      slot.release();
    }));
    assert.deepEqual([held, most], [0, 3]);
  });
}

export async function granted(slots: FlushSlots): Promise<FlushSlot> {
  const slot = await slots.acquire(STORE, NEVER);
  assert.ok(slot, "no slot came free");
  return slot;
}

export async function isSettled(work: Promise<unknown>): Promise<boolean> {
  const settled = work.then(() => true);
  return await Promise.race([settled, delay(STILL_MS).then(() => false)]);
}
