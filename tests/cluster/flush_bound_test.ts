import assert from "node:assert/strict";
import { createMemoryFlushSlots } from "../../src/adapters/memory/flush_slots.ts";
import { boundFlushes } from "../../src/cluster/flush_bound.ts";
import { StoreNotAskedError, StoreUnavailableError } from "../../src/errors.ts";
import type { FlushSlots } from "../../src/ports/flush_slots.ts";
import type { GroupStore } from "../../src/ports/group_store.ts";
import type { Store, StorePorts } from "../../src/ports/store.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { entry } from "../support/fakes.ts";
import { group } from "../support/groups.ts";

const WAIT_MS = 1_000;
const SOURCE = "source000001";

interface Call {
  readonly name: string;
  readonly end: (error?: Error) => void;
}

/** A store whose calls are ended by the test, and what was observed of flushes. */
function setUp(count: number | "no bound" = 1) {
  const clock = new FakeClock();
  const calls: Call[] = [];
  const call = (name: string) => () =>
    new Promise<never>((resolve, reject) =>
      calls.push({ name, end: (error) => error ? reject(error) : resolve({} as never) })
    );
  const seen = { waits: [] as number[], durations: [] as number[], held: 0, asked: [] as string[] };
  const state = { id: "one", identified: 0, isClosed: false };
  const inner = count === "no bound"
    ? undefined
    : createMemoryFlushSlots({ count, waitMs: WAIT_MS, clock });
  const slots: FlushSlots | undefined = inner && {
    acquire: (store, signal) => {
      seen.asked.push(store);
      return inner.acquire(store, signal);
    },
    close: () => Promise.resolve(void (state.isClosed = true)),
  };
  const ports = {
    store: {
      open: () => Promise.resolve(7),
      put: call("put"),
      marks: () => Promise.resolve(new Map()),
      latest: () => Promise.resolve(undefined),
      ping: () => Promise.resolve(),
      close: () => Promise.resolve(),
    } as Store,
    identity: {
      identify: () => {
        state.identified++;
        return Promise.resolve({ id: state.id, cacheGeneration: "" });
      },
    },
    deadLetters: {},
    groups: { apply: call("apply"), fold: () => Promise.resolve("folded"), dead: call("dead") },
  } as unknown as Required<StorePorts>;
  const histogram = (values: number[]) => ({ observe: (value: number) => values.push(value) });
  const metrics = {
    flushDuration: histogram(seen.durations),
    flushLastSuccess: { note: () => {} },
    flushSlotWait: histogram(seen.waits),
    flushSlotsHeld: { inc: () => seen.held++, dec: () => seen.held-- },
  } as never;
  const bound = boundFlushes(ports, { slots, clock, metrics });
  return { clock, calls, seen, state, store: bound.store, groups: bound.groups as GroupStore };
}

Deno.test("what a journal puts and what a worker applies share the slots; folds, marks and reads take none", async () => {
  const { calls, seen, store, groups } = setUp();
  const put = store.put(SOURCE, [entry(1)], 0);
  await settle();
  const applied = groups.apply([group(2, 2)]);
  await settle();
  assert.deepEqual(calls.map(({ name }) => name), ["put"]);
  assert.equal(await store.open(SOURCE), 7);
  assert.equal((await store.marks([SOURCE])).size, 0);
  assert.equal(await store.latest("user"), undefined);
  assert.equal(await groups.fold(SOURCE) as unknown, "folded");
  calls[0]!.end();
  await put;
  await settle();
  assert.deepEqual(calls.map(({ name }) => name), ["put", "apply"]);
  assert.equal(seen.held, 1);
  calls[1]!.end();
  await applied;
  assert.equal(seen.held, 0);
});

Deno.test("the time of a flush begins when its slot is granted", async () => {
  const { clock, calls, seen, store } = setUp();
  const first = store.put(SOURCE, [entry(1)], 0);
  await settle();
  const second = store.put(SOURCE, [entry(2)], 0);
  await clock.advance(400);
  calls[0]!.end();
  await first;
  await settle();
  await clock.advance(100);
  calls[1]!.end();
  await second;
  assert.deepEqual(seen.waits, [0, 0.4]);
  assert.deepEqual(seen.durations, [0.4, 0.1]);
});

Deno.test("a flush that gets no slot is not made, and may be made again", async () => {
  const { clock, calls, store } = setUp();
  const first = store.put(SOURCE, [entry(1)], 0);
  await settle();
  const second = assert.rejects(store.put(SOURCE, [entry(2)], 0), (error: Error) => {
    assert.ok(error instanceof StoreNotAskedError);
    assert.match(error.message, /within 1000 ms.*FLUSH_SLOTS/);
    return true;
  });
  await clock.advance(WAIT_MS);
  await second;
  assert.equal(calls.length, 1);
  calls[0]!.end();
  await first;
});

Deno.test("a flush that fails gives its slot back, and the store is asked again who it is", async () => {
  const { calls, seen, state, store } = setUp();
  for (const [i, id] of ["one", "one", "two"].entries()) {
    state.id = id;
    const put = store.put(SOURCE, [entry(i + 1)], 0);
    await settle();
    const isToFail = i === 1;
    const settled = isToFail ? assert.rejects(put, StoreUnavailableError) : put;
    calls[i]!.end(isToFail ? new StoreUnavailableError("away") : undefined);
    await settled;
    assert.equal(seen.held, 0);
  }
  assert.deepEqual(seen.asked, ["one", "one", "two"]);
  assert.equal(state.identified, 2);
});

Deno.test("closing the store ends the waits", async () => {
  const { calls, state, store } = setUp();
  const first = store.put(SOURCE, [entry(1)], 0);
  await settle();
  const waiting = assert.rejects(store.put(SOURCE, [entry(2)], 0), /being closed/);
  await settle();
  await store.close();
  await waiting;
  assert.ok(state.isClosed);
  calls[0]!.end();
  await first;
});

Deno.test("without slots flushes are measured, and not bounded", async () => {
  const { calls, seen, store } = setUp("no bound");
  const puts = [1, 2, 3].map((seq) => store.put(SOURCE, [entry(seq)], 0));
  await settle();
  for (const { end } of calls) end();
  await Promise.all(puts);
  assert.deepEqual([calls.length, seen.durations.length, seen.waits.length], [3, 3, 0]);
});
