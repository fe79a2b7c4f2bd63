import assert from "node:assert/strict";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import {
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
import { HOUR_MS, KEEPING, push, settledDisk, shortOf } from "../support/kept_segments.ts";

Deno.test("what the store lost is given again after a restart, before what is new", async () => {
  const { fs, run } = await settledDisk("a", "b", "c", "d");
  const { journal, recovered } = await open(fs, KEEPING);
  await push(journal, "new");
  assert.deepEqual(shortOf(await takeAll(journal)), ["new"]);
  assert.deepEqual(await journal.rewind(run, 1), { entries: 3, missingThrough: undefined });
  assert.deepEqual(shortOf(recovered), ["b", "c", "d"]);
  const { depth, oldestAcceptedMs } = journal.status();
  assert.equal(depth, 4);
  assert.equal(oldestAcceptedMs, recovered[0]!.acceptedMs);
  assert.deepEqual([1, 2, 4].map((seq) => journal.stageOf(run, seq)), [
    "settled",
    "durable",
    "durable",
  ]);
  assert.deepEqual(await journal.read(run, 3), recovered[1]);
  assert.equal(await journal.read(run, 1), undefined);
  assert.deepEqual(shortOf(await takeAll(journal)), ["b", "c", "d", "new"]);
  await journal.open();
  await settleAll(journal);
  assert.deepEqual([...await journal.open()], [[run, 4], [journal.run, 1]]);
  await journal.close();
});

Deno.test("a crash as soon as rewound entries are told finds them unsettled", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  const crashed: FakeFileSystem[] = [];
  const { journal } = await open(fs, {
    ...KEEPING,
    listener: { ...NOBODY, unsettled: () => void crashed.push(fs.afterPowerLoss()) },
  });
  await journal.rewind(run, 1);
  assert.equal(crashed.length, 2);
  for (const disk of [...crashed, fs.afterPowerLoss()]) {
    const after = await open(disk, KEEPING);
    assert.deepEqual(shortOf(after.recovered), ["b", "c"]);
    assert.deepEqual([...await after.journal.open()], [[run, 1]]);
    await after.journal.close();
  }
  await journal.close();
});

Deno.test("what is gone from here, too, is named", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 0;
  const { journal, recovered } = await open(fs, { ...KEEPING, monotonicMs: () => nowMs });
  await push(journal, "a", "b");
  await settleAll(journal);
  nowMs += HOUR_MS / 2;
  await push(journal, "c", "d");
  await settleAll(journal);
  nowMs += HOUR_MS / 2;
  await push(journal, "e");
  await settleAll(journal);
  assert.equal(segmentPaths(fs).length, 3);
  assert.deepEqual(await journal.rewind(journal.run, 1), { entries: 3, missingThrough: 2 });
  assert.deepEqual(shortOf(recovered), ["c", "d", "e"]);
  assert.deepEqual(shortOf(await takeAll(journal)), ["c", "d", "e"]);
  await journal.close();
});

Deno.test("damage in what was kept is found when needed, and reported once", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  const middle = fs.content(segmentPaths(fs)[1]!);
  middle[recordOffsets(middle)[0]! + 40]! ^= 1;
  const { journal, recovered, damage } = await open(fs, KEEPING);
  assert.deepEqual(await journal.rewind(run, 0), { entries: 2, missingThrough: undefined });
  assert.deepEqual(shortOf(recovered), ["a", "c"]);
  assert.deepEqual(damage.map(({ kind, segment }) => `${kind} ${segment}`), [
    "damaged 0000000000000002.seg",
  ]);
  assert.equal(quarantined(fs).length, 1);
  assert.deepEqual(shortOf(await takeAll(journal)), ["a", "c"]);
  await journal.open();
  await settleAll(journal);
  assert.equal(journal.status().depth, 0);
  assert.equal(damage.length, 1);
  await journal.close();
});

Deno.test("damage that could not be put aside at first is lost all the same", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  const middle = fs.content(segmentPaths(fs)[1]!);
  middle[recordOffsets(middle)[0]! + 40]! ^= 1;
  const { journal, recovered, damage } = await open(fs, KEEPING);
  let failures = 1;
  fs.beforeSync = (name) => {
    if (name.endsWith(".bin") && failures-- > 0) throw new Error("I/O error");
  };
  await assert.rejects(journal.rewind(run, 0), /I\/O error/);
  await journal.open();
  assert.deepEqual(shortOf(recovered), ["a", "c"]);
  assert.equal(damage.length, 1);
  await settleAll(journal);
  assert.equal(journal.status().depth, 0);
  const stages = [1, 2, 3].map((seq) => journal.stageOf(run, seq));
  assert.deepEqual(stages, ["settled", "withdrawn", "settled"]);
  await journal.close();
});

Deno.test("a kept segment that somebody removed is missing only when it is needed", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  const { journal, recovered, damage } = await open(fs, KEEPING);
  fs.takeAway(segmentPaths(fs)[1]!);
  await push(journal, "new");
  assert.equal(journal.status().failure, undefined);
  assert.deepEqual(await journal.rewind(run, 0), { entries: 2, missingThrough: 2 });
  assert.deepEqual(shortOf(recovered), ["a", "c"]);
  assert.deepEqual(damage.map(({ segment }) => segment), ["missing: 0000000000000002.seg"]);
  assert.deepEqual(shortOf(await takeAll(journal)), ["a", "c", "new"]);
  await journal.close();
});

Deno.test("a kept segment that was removed before a start is missing when it is needed", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  fs.takeAway(segmentPaths(fs)[1]!);
  const { journal, recovered, damage } = await open(fs, KEEPING);
  assert.deepEqual(await journal.rewind(run, 0), { entries: 2, missingThrough: 2 });
  assert.deepEqual(shortOf(recovered), ["a", "c"]);
  assert.deepEqual(damage.map(({ segment }) => segment), [
    "missing after 0000000000000001.seg",
  ]);
  await settleAll(journal);
  assert.equal(journal.status().depth, 0);
  const stages = [1, 2, 3].map((seq) => journal.stageOf(run, seq));
  assert.deepEqual(stages, ["settled", "withdrawn", "settled"]);
  await journal.close();
});

Deno.test("a read that fails while rewinding delays telling; nothing is told twice", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  const { journal, recovered } = await open(fs, KEEPING);
  const openFile = fs.open.bind(fs);
  let failures = 2;
  fs.open = (path) =>
    path.endsWith("2.seg") && failures-- > 0
      ? Promise.reject(new Error("I/O error"))
      : openFile(path);
  await assert.rejects(journal.rewind(run, 0), /I\/O error/);
  assert.deepEqual(shortOf(recovered), ["a"]);
  assert.equal(journal.unsettled, 3);
  assert.deepEqual(await journal.read(run, 1), recovered[0]);
  await assert.rejects(journal.take(10), /I\/O error/);
  assert.deepEqual([...await journal.open()], [[run, 0]]);
  assert.deepEqual(shortOf(recovered), ["a", "b", "c"]);
  assert.deepEqual(await takeAll(journal), recovered);
  await settleAll(journal);
  await journal.close();
});

Deno.test("a checkpoint that fails while rewinding leaves all as it was", async () => {
  const { fs, run } = await settledDisk("a", "b", "c");
  const { journal, recovered } = await open(fs, KEEPING);
  fs.beforeSync = () => {
    throw new Error("I/O error");
  };
  await assert.rejects(journal.rewind(run, 0), /I\/O error/);
  assert.deepEqual([journal.unsettled, recovered.length], [0, 0]);
  assert.deepEqual([...await journal.open()], [[run, 3]]);
  fs.beforeSync = () => {};
  assert.deepEqual(await journal.rewind(run, 0), { entries: 3, missingThrough: undefined });
  assert.deepEqual(shortOf(recovered), ["a", "b", "c"]);
  await journal.close();
});

Deno.test("what is being removed when the store goes back is missing, not told", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 0;
  const { journal, recovered } = await open(fs, { ...KEEPING, monotonicMs: () => nowMs });
  await push(journal, "a", "b");
  await settleAll(journal);
  await push(journal, "c");
  nowMs += HOUR_MS;
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  fs.beforeSync = () => {
    reached.resolve();
    return gate.promise;
  };
  const settling = journal.settle((await journal.take(10))!);
  await reached.promise;
  const rewinding = journal.rewind(journal.run, 0);
  gate.resolve();
  await settling;
  assert.deepEqual(await rewinding, { entries: 1, missingThrough: 2 });
  assert.deepEqual(await takeAll(journal), recovered);
  assert.deepEqual(shortOf(recovered), ["c"]);
  await journal.close();
});

Deno.test("a group that is withdrawn while rewinding does not end what waits again", async () => {
  const { fs, run } = await settledDisk("a", "b");
  const { journal, recovered, withdrawn } = await open(fs, KEEPING);
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  fs.beforeSync = (name) => {
    if (name !== "checkpoint.tmp") return;
    reached.resolve();
    return gate.promise;
  };
  const rewinding = journal.rewind(run, 0);
  await reached.promise;
  fs.freeBytes = 10;
  await assert.rejects(pushAll(journal, ["no room"]), /disk is full/);
  fs.freeBytes = Infinity;
  assert.deepEqual(valuesOf(withdrawn), ["no room"]);
  gate.resolve();
  assert.deepEqual(await rewinding, { entries: 2, missingThrough: undefined });
  assert.deepEqual(await takeAll(journal), recovered);
  assert.deepEqual(shortOf(recovered), ["a", "b"]);
  await journal.close();
});

Deno.test("a segment that could not be removed can still be given again", async () => {
  const { fs, run } = await settledDisk("a", "b");
  let nowMs = 0;
  const { journal, recovered } = await open(fs, { ...KEEPING, monotonicMs: () => nowMs });
  fs.beforeRemove = (name) => {
    if (name.endsWith(".seg")) throw new Error("I/O error");
  };
  nowMs += HOUR_MS;
  await push(journal, "c");
  await settleAll(journal);
  assert.equal(segmentPaths(fs).length, 3);
  assert.deepEqual(await journal.rewind(run, 0), { entries: 2, missingThrough: undefined });
  assert.deepEqual(shortOf(recovered), ["a", "b"]);
  assert.deepEqual(await takeAll(journal), recovered);
  await journal.close();
});
