import assert from "node:assert/strict";
import { HEADER_BYTES } from "../../src/journal/codec.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { DIR, open, segmentPaths, settleAll } from "../support/journals.ts";
import {
  HOUR_MS,
  KEEPING,
  ONE_RECORD,
  push,
  settledDisk,
  shortOf,
} from "../support/kept_segments.ts";

Deno.test("settled segments are kept for so long, counted, and then removed", async () => {
  const fs = new FakeFileSystem();
  const clock = new FakeClock();
  const { journal } = await open(fs, {
    ...KEEPING,
    monotonicMs: () => clock.monotonicMs(),
    setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
  });
  await push(journal, "a", "b", "c");
  assert.equal(journal.status().retainedBytes, 0);
  await settleAll(journal);
  const { bytes, retainedBytes, depth } = journal.status();
  assert.equal(depth, 0);
  assert.equal(retainedBytes, bytes);
  assert.equal(segmentPaths(fs).length, 3);
  await clock.advance(HOUR_MS - 1_000);
  assert.equal(segmentPaths(fs).length, 3);
  // However the wall clock is set.
  clock.step(-2 * HOUR_MS);
  await clock.advance(2_000);
  assert.equal(segmentPaths(fs).length, 0);
  assert.deepEqual([journal.status().bytes, journal.status().retainedBytes], [0, 0]);
  await journal.close();
});

Deno.test("a restart begins the time anew, and does not read what it keeps", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  assert.equal(segmentPaths(fs).length, 3);
  // Anything may have become of records that are not read.
  for (const path of segmentPaths(fs)) fs.content(path).fill(0, HEADER_BYTES);
  let nowMs = 0;
  const { journal, recovered, damage } = await open(fs, { ...KEEPING, monotonicMs: () => nowMs });
  assert.deepEqual([recovered, damage], [[], []]);
  assert.equal(journal.status().retainedBytes, journal.status().bytes);
  assert.deepEqual([...await journal.open()], [[run, 3]]);
  assert.equal(await journal.take(10), undefined);
  assert.equal(await journal.read(run, 1), undefined);
  nowMs += HOUR_MS;
  await push(journal, "d");
  await settleAll(journal);
  assert.equal(segmentPaths(fs).length, 1);
  await journal.close();
});

/** A journal of 256 KiB in which `settled` of some 230 records are settled. */
async function nearlyFull(settled: number) {
  const fs = new FakeFileSystem();
  const maxBytes = 256 * 1024;
  const { journal } = await open(fs, { maxBytes, retainMs: HOUR_MS });
  await pushUntilFull(journal);
  await journal.settle((await journal.take(settled))!);
  return { fs, journal, maxBytes };
}

/** Returns how many found room. */
async function pushUntilFull(journal: Journal): Promise<number> {
  const waiting: Promise<void>[] = [];
  assert.throws(() => {
    for (;;) waiting.push(journal.push({ userId: "u", value: "x".repeat(1_000), ts: 1 }).durable);
  }, /queue is full/);
  await Promise.all(waiting);
  return waiting.length;
}

Deno.test("kept bytes never refuse a push: the oldest go when their room is needed", async () => {
  const { journal, fs, maxBytes } = await nearlyFull(1_000);
  const { retainedBytes, bytes } = journal.status();
  assert.equal(retainedBytes, bytes);
  const segments = segmentPaths(fs).length;
  for (let round = 0; round < 3; round++) {
    const pushed = await pushUntilFull(journal);
    assert.ok(pushed > 200, `${pushed} writes found room in round ${round}`);
    assert.ok(journal.status().bytes <= maxBytes + 6 * 5_000, `${journal.status().bytes} bytes`);
    await settleAll(journal);
  }
  assert.ok(segmentPaths(fs).length <= segments + 1);
  await journal.close();
});

/** A journal that keeps three settled segments, on a disk that has only so much room left. */
async function keepingOnFullDisk(freeBytes: number) {
  const fs = new FakeFileSystem();
  const clock = new FakeClock();
  const { journal } = await open(fs, {
    ...KEEPING,
    monotonicMs: () => clock.monotonicMs(),
    setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
  });
  await push(journal, "a", "b", "c");
  await settleAll(journal);
  const whenSaved = async () => await clock.advance(1_500);
  return { fs, journal, whenSaved, fill: () => void (fs.freeBytes = freeBytes) };
}

Deno.test("a full disk has what is kept given up before a write is refused", async () => {
  const { fs, journal, fill } = await keepingOnFullDisk(600);
  fill();
  await push(journal, "new");
  assert.equal(segmentPaths(fs).length, 2);
  assert.equal(journal.status().lackOfRoom, undefined);
  const next = await open(fs.afterPowerLoss(), KEEPING);
  assert.deepEqual(shortOf(next.recovered), ["new"]);
  assert.deepEqual(next.damage, []);
  await next.journal.close();
  await journal.close();
});

Deno.test("without room for a checkpoint only what the last one calls settled is given up", async () => {
  const unsaved = await keepingOnFullDisk(10);
  unsaved.fill();
  await assert.rejects(push(unsaved.journal, "new"), /disk is full/);
  assert.equal(segmentPaths(unsaved.fs).length, 3);
  const saved = await keepingOnFullDisk(10);
  await saved.whenSaved();
  saved.fill();
  await push(saved.journal, "new");
  const next = await open(saved.fs.afterPowerLoss(), KEEPING);
  assert.deepEqual(shortOf(next.recovered), ["new"]);
  assert.deepEqual(next.damage, []);
  await next.journal.close();
  await saved.journal.close();
  unsaved.fs.freeBytes = Infinity;
  await unsaved.journal.close();
});

Deno.test("of what is settled in part the whole segments give their room", async () => {
  const { journal, maxBytes } = await nearlyFull(120);
  const { bytes, retainedBytes } = journal.status();
  assert.ok(retainedBytes > 60_000 && retainedBytes < bytes / 2, `${retainedBytes} of ${bytes}`);
  const recordBytes = 35 + "u".length + 1_000;
  const room = Math.floor((maxBytes - bytes + retainedBytes) / recordBytes);
  assert.equal(await pushUntilFull(journal), room);
  assert.equal(journal.status().retainedBytes, 0);
  await journal.close();
});

Deno.test("without JOURNAL_RETAIN nothing settled stays, at once and after a crash", async () => {
  const { fs } = await settledDisk("a", "b");
  const next = await open(fs, { ...ONE_RECORD, retainMs: 0 });
  assert.deepEqual(segmentPaths(fs), []);
  await push(next.journal, "c", "d");
  await settleAll(next.journal);
  assert.ok(segmentPaths(fs).length <= 1);
  await next.journal.close();
  assert.deepEqual(segmentPaths(fs), []);
});

Deno.test("more sources than a checkpoint names are not kept", async () => {
  const fs = new FakeFileSystem();
  for (let run = 0; run < 510; run++) {
    const { journal } = await open(fs, KEEPING);
    await push(journal, "a");
    await settleAll(journal);
    await journal.close();
  }
  assert.equal(segmentPaths(fs).length, 500);
  const checkpoint = fs.content(`${DIR}/checkpoint`);
  assert.ok(checkpoint.length < 64 * 1024, `${checkpoint.length} bytes of checkpoint`);
  const { journal, damage } = await open(fs, KEEPING);
  assert.deepEqual(damage, []);
  assert.equal((await journal.open()).size, 500);
  await journal.close();
});
