import assert from "node:assert/strict";
import { MEMORY_BUDGET } from "../../src/memory_budget.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import {
  open,
  pushAll,
  quarantined,
  recordOffsets,
  segmentPaths,
  settleAll,
  takeAll,
  valuesOf,
} from "../support/journals.ts";

Deno.test("every start is a source of its own, and a batch never spans two", async () => {
  const fs = new FakeFileSystem();
  for (const value of ["a", "b"]) {
    const { journal } = await open(fs);
    await pushAll(journal, [value, value]);
    await journal.close();
  }
  const { journal } = await open(fs);
  await pushAll(journal, ["c"]);
  const batches = [await journal.take(100), await journal.take(100), await journal.take(100)];
  assert.deepEqual(batches.map((batch) => valuesOf(batch!.entries)), [["a", "a"], ["b", "b"], [
    "c",
  ]]);
  assert.equal(new Set(batches.map((batch) => batch!.source)).size, 3);
  for (const { source, entries } of batches.map((batch) => batch!)) {
    assert.match(source, /^[0-9a-z]{12}$/);
    assert.ok(entries.every(({ run }) => run === source), "a source is the run of its entries");
  }
  assert.equal(batches[2]!.source, journal.run);
  assert.deepEqual(batches.map((batch) => batch!.lastSeq), [2, 2, 1]);
  assert.equal(await journal.take(100), undefined);
  await journal.close();
});

Deno.test("a batch may span segments of one run, and holds a bounded number of bytes", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs, {
    maxBytes: 256 * 1024 * 1024,
    segmentBytes: 1024 * 1024,
  });
  const values = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(250_000, "x"));
  for (const value of values) await pushAll(journal, [value]);
  assert.ok(segmentPaths(fs).length > 3);
  const batch = await journal.take(1000);
  const bytes = batch!.entries.length * 250_000;
  assert.ok(bytes > 1024 * 1024, "more than a segment");
  assert.ok(bytes < MEMORY_BUDGET.batch.bytes + 1024 * 1024, `${bytes} bytes`);
  assert.deepEqual([...valuesOf(batch!.entries), ...valuesOf(await takeAll(journal))], values);
  await journal.close();
});

Deno.test("any unsettled entry can be read by its number, beside takes", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs, { segmentBytes: 20_000 });
  const values = Array.from({ length: 1000 }, (_, i) => `value ${i}`);
  for (let i = 0; i < values.length; i += 50) await pushAll(journal, values.slice(i, i + 50));
  const reads = Promise.all(values.map((_, i) => journal.read(journal.run, i + 1)));
  const taken = takeAll(journal);
  assert.deepEqual((await reads).map((entry) => entry?.value), values);
  assert.deepEqual(valuesOf(await taken), values);
  assert.equal(await journal.read(journal.run, 1001), undefined);
  await journal.close();
});

Deno.test("a settled entry cannot be read any more", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a", "b"]);
  await journal.settle((await journal.take(1))!);
  assert.equal(await journal.read(journal.run, 1), undefined);
  assert.equal((await journal.read(journal.run, 2))?.value, "b");
  await journal.close();
});

Deno.test("damage found while taking is set aside once; the neighbours are delivered", async () => {
  const fs = new FakeFileSystem();
  const { journal, damage } = await open(fs);
  await pushAll(journal, ["a", "b", "c", "d"]);
  const [path] = segmentPaths(fs);
  const offsets = recordOffsets(fs.content(path!));
  fs.content(path!)[offsets[1]! + 20]! ^= 1;
  fs.content(path!)[offsets[3]! + 20]! ^= 1;
  assert.equal((await journal.read(journal.run, 3))?.value, "c");
  assert.equal(await journal.read(journal.run, 2), undefined);
  const batch = await journal.take(10);
  assert.deepEqual(valuesOf(batch!.entries), ["a", "c"]);
  assert.deepEqual(damage.map(({ kind, offset }) => ({ kind, offset })), [
    { kind: "damaged", offset: offsets[1] },
    { kind: "damaged", offset: offsets[3] },
  ]);
  assert.equal(quarantined(fs).length, 2);
  assert.equal(journal.status().depth, 2);
  await journal.settle(batch!);
  const { depth, settled } = journal.status();
  assert.deepEqual({ depth, settled }, { depth: 0, settled: 4 });
  await pushAll(journal, ["e"]);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["e"]);
  await journal.close();
});

Deno.test("the age of the oldest entry follows what is settled", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 1_000_000;
  const { journal } = await open(fs, { now: () => nowMs });
  assert.equal(journal.status().oldestAcceptedMs, undefined);
  for (let i = 0; i < 3; i++) {
    await pushAll(journal, ["x"]);
    nowMs += 10_000;
  }
  assert.equal(journal.status().oldestAcceptedMs, 1_000_000);
  await journal.settle((await journal.take(2))!);
  assert.equal(journal.status().oldestAcceptedMs, 1_020_000);
  await settleAll(journal);
  assert.equal(journal.status().oldestAcceptedMs, undefined);
  await journal.close();
});
