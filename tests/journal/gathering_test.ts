import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { FakeClock } from "../support/fake_clock.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { open } from "../support/journals.ts";

async function opened() {
  const fs = new FakeFileSystem();
  const clock = new FakeClock();
  const groups: number[] = [];
  const { journal, durable } = await open(fs, {
    setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
    observer: { onFsync: (_, records) => groups.push(records) },
  });
  /** The disk takes some turns of the queue. */
  const committed = async (count: number) => {
    for (let turn = 0; turn < 100 && durable.length < count; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  };
  const push = (value = "v") => journal.push({ userId: "u", value, ts: 1 });
  return { journal, clock, groups, committed, push };
}

Deno.test("writes that nobody waits for share one sync, after 5 ms", async () => {
  const { journal, clock, groups, committed, push } = await opened();
  push();
  await clock.advance(0);
  await clock.advance(3);
  push();
  await clock.advance(1);
  assert.deepEqual(groups, []);
  await clock.advance(1);
  await committed(2);
  assert.deepEqual(groups, [2]);
  assert.equal(clock.timers, 0);
  await journal.close();
});

Deno.test("who waits takes along at once what nobody waits for", async () => {
  const { journal, clock, groups, push } = await opened();
  push();
  await clock.advance(1);
  await push().durable;
  assert.deepEqual(groups, [2]);
  assert.equal(clock.timers, 0);
  await journal.close();
});

Deno.test("a write of a group that is put off may be waited for later", async () => {
  const { journal, clock, groups, push } = await opened();
  const receipt = push();
  await clock.advance(1);
  await receipt.durable;
  assert.deepEqual(groups, [1]);
  await journal.close();
});

Deno.test("a group that is full is not put off", async () => {
  const { journal, clock, groups, committed, push } = await opened();
  // Of the next one nobody knows whether it has three bytes a character.
  for (let i = 0; i < 10; i++) push("x".repeat(200_000));
  await committed(8);
  assert.deepEqual(groups, [8]);
  await clock.advance(5);
  await committed(10);
  assert.deepEqual(groups, [8, 2]);
  await journal.close();
});

Deno.test("a close does not wait for others to join", async () => {
  const { journal, clock, groups, push } = await opened();
  push();
  await clock.advance(1);
  await journal.close();
  assert.deepEqual(groups, [1]);
  assert.equal(clock.timers, 0);
});

Deno.test("a close that comes in the same turn as a write does not wait either", async () => {
  const { journal, clock, groups, push } = await opened();
  push();
  await journal.close();
  assert.deepEqual(groups, [1]);
  assert.equal(clock.timers, 0);
});
