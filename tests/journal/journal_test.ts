import assert from "node:assert/strict";
import { join } from "node:path";
import { AppError } from "../../src/errors.ts";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { openJournal } from "../../src/journal/journal.ts";
import { verifyJournal } from "../../src/journal/verify.ts";
import type { Batch } from "../../src/ports/source.ts";
import { MEMORY_BUDGET } from "../../src/memory_budget.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import {
  DIR,
  NOBODY,
  open,
  pushAll,
  quarantined,
  recordOffsets,
  segmentPaths,
  settleAll,
  takeAll,
  valuesOf,
} from "../support/journals.ts";

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof AppError && error.code === code;
}

async function inTempDir(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Holds back the fsyncs of segments until told. */
function gateOf(fs: FakeFileSystem): { open: () => void; reached: Promise<void> } {
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  fs.beforeSync = (name) => {
    if (!name.endsWith(".seg")) return;
    reached.resolve();
    return gate.promise;
  };
  return { open: gate.resolve, reached: reached.promise };
}

Deno.test("on a real disk awkward texts survive a restart, and can be read and settled", () =>
  inTempDir(async (temp) => {
    const dir = join(temp, "deep", "journal");
    const values = ["", "ä€😀", "\u0001\n\u007f", "\ufeffbom", "x".repeat(256 * 1024), "last"];
    const first = await openJournal({ dir, maxBytes: 1 << 30, retainMs: 0, listener: NOBODY });
    await pushAll(first, values);
    assert.deepEqual(valuesOf(await takeAll(first)), values);
    await first.close();

    const recovered: string[] = [];
    const second = await openJournal({
      dir,
      maxBytes: 1 << 30,
      retainMs: 0,
      listener: { ...NOBODY, unsettled: ({ value }) => recovered.push(value) },
    });
    assert.deepEqual(recovered, values);
    assert.equal((await second.read(first.run, 3))?.value, values[2]);
    await settleAll(second);
    assert.equal(second.status().depth, 0);
    await second.close();
    await second.close();
    assert.deepEqual((await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort(), [
      "checkpoint",
      "instance",
      "lock",
    ]);
  }));

Deno.test("a directory in use is refused by name, can be verified, and is free later", () =>
  inTempDir(async (dir) => {
    const journal = await openJournal({ dir, maxBytes: 1 << 30, retainMs: 0, listener: NOBODY });
    await pushAll(journal, ["a"]);
    const module = new URL("../../src/journal/journal.ts", import.meta.url).href;
    const script = `const { openJournal } = await import(${JSON.stringify(module)});
      try { await openJournal({ dir: ${
      JSON.stringify(dir)
    }, maxBytes: 1e9, retainMs: 0, listener: {} }); console.log("opened"); }
      catch (error) { console.log(error.code, error.message); }
      Deno.exit();`;
    const run = async () => {
      const config = new URL("../../deno.json", import.meta.url).pathname;
      const args = ["eval", "--no-lock", "--config", config, script];
      return new TextDecoder().decode(
        (await new Deno.Command(Deno.execPath(), { args }).output()).stdout,
      );
    };
    const refused = await run();
    assert.match(refused, /^journal-failed Cannot open the journal in /);
    assert.ok(refused.includes(dir) && refused.includes("DATA_DIR"), refused);
    const { records } = await verifyJournal(denoFileSystem, dir);
    assert.equal(records, 1);
    await settleAll(journal);
    await journal.close();
    assert.equal((await run()).trim(), "opened");
  }));

Deno.test("verifying a directory that does not exist finds nothing and makes nothing", () =>
  inTempDir(async (temp) => {
    const dir = join(temp, "none");
    const { segments, records, damage } = await verifyJournal(denoFileSystem, dir);
    assert.deepEqual({ segments, records, damage }, { segments: 0, records: 0, damage: [] });
    await assert.rejects(Deno.stat(dir), Deno.errors.NotFound);
  }));

Deno.test("what waits for one fsync shares the next", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  const gate = gateOf(fs);
  const first = pushAll(journal, ["first"]);
  await gate.reached;
  const rest = pushAll(journal, Array.from({ length: 1000 }, (_, i) => `${i}`));
  gate.open();
  await Promise.all([first, rest]);
  assert.equal(
    fs.count("sync 0000000000000001.seg"),
    3,
    "the header, the first record, all the others",
  );
  await journal.close();
});

Deno.test("a write is durable only after its fsync, and not taken or read before", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["before"]);
  const gate = gateOf(fs);
  let durable = false;
  const { entry, durable: done } = journal.push({ userId: "u", value: "v", ts: 1 });
  const told = done.then(() => {
    durable = true;
    fs.events.push("told");
  });
  await gate.reached;
  assert.deepEqual(valuesOf(await takeAll(journal)), ["before"]);
  assert.equal(await journal.read(journal.run, entry.seq), undefined);
  assert.equal(durable, false);
  assert.equal(journal.status().depth, 2);
  gate.open();
  await told;
  assert.deepEqual(fs.events.slice(-2), ["sync 0000000000000001.seg", "told"]);
  assert.deepEqual(await journal.read(journal.run, entry.seq), entry);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["v"]);
  await journal.close();
});

Deno.test("after a failed fsync nothing is accepted or tried again, and all are told", async () => {
  const fs = new FakeFileSystem();
  const { journal, withdrawn } = await open(fs);
  await pushAll(journal, ["durable"]);
  let syncs = 0;
  fs.beforeSync = (name) => {
    if (!name.endsWith(".seg")) return;
    syncs++;
    throw Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
  };
  fs.events.length = 0;
  const values = ["lost", "lost with it", "nobody waits for it"];
  const [first, second] = values.map((value) => journal.push({ userId: "u", value, ts: 1 }));
  for (const { durable } of [first!, second!]) {
    await assert.rejects(durable, hasCode("journal-failed"));
  }
  assert.deepEqual(valuesOf(withdrawn), values);
  assert.equal(journal.stageOf(journal.run, 3), "withdrawn");
  assert.throws(
    () => journal.push({ userId: "u", value: "late", ts: 1 }),
    hasCode("journal-failed"),
  );
  assert.match(journal.status().failure!, /fsync of 0000000000000001.seg failed: No space left/);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["durable"]);
  assert.equal(journal.status().depth, 1);
  // Were the disk to work again, what it said of these bytes would still be worth nothing.
  fs.beforeSync = (name) => {
    if (name.endsWith(".seg")) syncs++;
  };
  await journal.close();
  assert.deepEqual([syncs, fs.count("write 0000000000000001.seg")], [1, 1]);

  const next = await open(fs.afterPowerLoss());
  assert.deepEqual(valuesOf(next.recovered), ["durable"]);
  await next.journal.close();
});

Deno.test("a failed fsync rejects the groups that wait behind it, too", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  fs.beforeSync = () => {
    reached.resolve();
    return gate.promise;
  };
  const first = assert.rejects(pushAll(journal, ["a"]), hasCode("journal-failed"));
  await reached.promise;
  const second = assert.rejects(pushAll(journal, ["b"]), hasCode("journal-failed"));
  gate.reject(new Error("I/O error"));
  await Promise.all([first, second]);
  fs.beforeSync = () => {};
  await journal.close();
});

Deno.test("a full disk rejects what does not fit; writing goes on with space", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 1_000_000;
  const { journal } = await open(fs, { monotonicMs: () => nowMs });
  await pushAll(journal, ["kept"]);
  fs.freeBytes = 10;
  assert.equal(journal.status().lackOfRoom, undefined);
  await assert.rejects(pushAll(journal, ["does not fit"]), hasCode("queue-full"));
  assert.match(journal.status().lackOfRoom!, /disk of .* is full/);
  assert.throws(
    () => journal.push({ userId: "u", value: "at once", ts: 1 }),
    hasCode("queue-full"),
  );
  nowMs += 1_000;
  await assert.rejects(pushAll(journal, ["no new segment either"]), hasCode("queue-full"));
  nowMs += 1_000;
  fs.freeBytes = Infinity;
  await pushAll(journal, ["fits again"]);
  assert.equal(journal.status().failure, undefined);
  assert.equal(journal.status().depth, 2);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["kept", "fits again"]);

  const second = await open(fs.afterPowerLoss());
  assert.deepEqual(valuesOf(second.recovered), ["kept", "fits again"]);
  assert.deepEqual(second.damage, []);
  await second.journal.close();
  await journal.close();
});

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

Deno.test("closing makes durable what was pushed, then refuses everything", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  const { durable } = journal.push({ userId: "u", value: "v", ts: 1 });
  const closed = journal.close();
  assert.throws(
    () => journal.push({ userId: "u", value: "late", ts: 1 }),
    hasCode("shutting-down"),
  );
  await durable;
  await closed;
  await assert.rejects(journal.take(1), hasCode("shutting-down"));
  const second = await open(fs);
  assert.deepEqual(valuesOf(second.recovered), ["v"]);
  await second.journal.close();
});
