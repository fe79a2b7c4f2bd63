import assert from "node:assert/strict";
import { AppError } from "../../src/errors.ts";
import type { Batch } from "../../src/ports/source.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { DIR, open, pushAll, segmentPaths, settleAll } from "../support/journals.ts";

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof AppError && error.code === code;
}

Deno.test("a full journal refuses pushes, and accepts again once entries are settled", async () => {
  const fs = new FakeFileSystem();
  const maxBytes = 256 * 1024;
  const { journal } = await open(fs, { maxBytes });
  const value = "x".repeat(1000);
  for (let round = 0; round < 5; round++) {
    const waiting: Promise<void>[] = [];
    assert.throws(() => {
      while (true) waiting.push(journal.push({ userId: "u", value, ts: 1 }).durable);
    }, hasCode("queue-full"));
    await Promise.all(waiting);
    assert.ok(waiting.length > 150, `${waiting.length} writes found room in round ${round}`);
    assert.ok(journal.status().bytes <= maxBytes + 6 * 5000);
    await settleAll(journal);
    assert.equal(journal.status().depth, 0);
    assert.ok(journal.status().bytes < maxBytes / 4);
  }
  await journal.close();
});

Deno.test("a segment is removed only after the checkpoint that says so is durable", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs, { segmentBytes: 5000 });
  await pushAll(journal, ["a".repeat(600)]);
  await pushAll(journal, ["b".repeat(600)]);
  const batch = (await journal.take(1))!;
  const saidSo: boolean[] = [];
  fs.beforeRemove = () => void saidSo.push(checkpointSays(fs.afterPowerLoss(), batch));
  fs.events.length = 0;
  await journal.settle(batch);
  assert.deepEqual(fs.events.map((event) => event.replace(/tmp [0-9]+$/, "tmp (bytes)")), [
    "create checkpoint.tmp",
    "write checkpoint.tmp (bytes)",
    "sync checkpoint.tmp",
    "rename checkpoint.tmp checkpoint",
    "syncDirectory",
    "remove 0000000000000001.seg",
    "syncDirectory",
  ]);
  assert.deepEqual(saidSo, [true]);
  await journal.close();
});

/** Whether a start after a power loss would know that the batch is settled. */
function checkpointSays(fs: FakeFileSystem, { source, lastSeq }: Batch): boolean {
  const text = new TextDecoder().decode(fs.content(`${DIR}/checkpoint`));
  const { sources } = JSON.parse(text) as { sources: [string, number, number, number][] };
  return sources.some(([name, settledSeq, doneSeq]) =>
    name === source && settledSeq === lastSeq && doneSeq === lastSeq
  );
}

Deno.test("settling does not write a checkpoint each time", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 1_000_000;
  const { journal } = await open(fs, { monotonicMs: () => nowMs });
  await pushAll(journal, Array.from({ length: 100 }, (_, i) => `${i}`));
  fs.events.length = 0;
  for (let i = 0; i < 50; i++) await journal.settle((await journal.take(1))!);
  assert.equal(fs.count("sync"), 0);
  nowMs += 1_000;
  await journal.settle((await journal.take(1))!);
  assert.equal(fs.count("sync checkpoint.tmp"), 1);
  await journal.close();
});

Deno.test("what was settled last is saved soon, though nobody settles after it", async () => {
  const fs = new FakeFileSystem();
  const clock = new FakeClock();
  const { journal } = await open(fs, {
    retainMs: 60_000,
    monotonicMs: () => clock.monotonicMs(),
    setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
  });
  await pushAll(journal, ["a"]);
  await settleAll(journal);
  await clock.advance(1_500);
  const crashed = await open(fs.afterPowerLoss(), { retainMs: 60_000 });
  assert.deepEqual(crashed.recovered, []);
  fs.events.length = 0;
  await clock.advance(10_000);
  assert.deepEqual(fs.events, [], "nothing is written while nothing happens");
  await crashed.journal.close();
  await journal.close();
});

Deno.test("a failing checkpoint is told of, keeps the segments, and is tried again", async () => {
  const fs = new FakeFileSystem();
  const faults: string[] = [];
  const { journal } = await open(fs, {
    segmentBytes: 5000,
    observer: { onFault: (reason) => faults.push(reason) },
  });
  await pushAll(journal, ["a".repeat(600)]);
  await pushAll(journal, ["b".repeat(600)]);
  fs.beforeSync = () => {
    throw new Error("I/O error");
  };
  await journal.settle((await journal.take(1))!);
  assert.match(faults.join(), /checkpoint.*I\/O error/);
  assert.equal(segmentPaths(fs).length, 2);
  fs.beforeSync = () => {};
  await settleAll(journal);
  await journal.close();
  assert.deepEqual(segmentPaths(fs), []);
});
