import assert from "node:assert/strict";
import { checksum, HEADER_BYTES } from "../../src/journal/codec.ts";
import { verifyJournal } from "../../src/journal/verify.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import {
  DIR,
  open,
  pushAll,
  quarantined,
  recordOffsets,
  segmentPaths,
  settleAll,
  takeAll,
  valuesOf,
} from "../support/journals.ts";

/** A disk with one segment of these values, as a power loss leaves it. */
async function diskWith(values: readonly string[]): Promise<FakeFileSystem> {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, values);
  return fs.afterPowerLoss();
}

function cut(fs: FakeFileSystem, path: string, size: number): Promise<void> {
  return fs.open(path).then((file) => file.truncate(size));
}

Deno.test("after a power loss all durable is there; numbers begin anew, times go on", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs, { now: () => 5_000 });
  await pushAll(first.journal, ["a", "b", "c"]);
  const batch = await first.journal.take(1);
  await first.journal.settle(batch!);
  await pushAll(first.journal, ["d"]);

  const disk = fs.afterPowerLoss();
  const second = await open(disk, { now: () => 1_000 });
  assert.deepEqual(valuesOf(second.recovered).slice(-3), ["b", "c", "d"]);
  assert.deepEqual(await takeAll(second.journal), second.recovered);
  assert.deepEqual(second.damage, []);
  const { entry } = second.journal.push({ userId: "u", value: "e", ts: 1 });
  assert.equal(entry.seq, 1);
  assert.equal(entry.run, second.journal.run);
  assert.notEqual(entry.run, first.journal.run);
  // Later than all that an earlier run can have accepted, though the clock was set back.
  assert.equal(entry.acceptedMs, 5_001);
  assert.equal(second.journal.status().instance, first.journal.status().instance);
  await second.journal.close();
});

Deno.test("after a clean stop only what is not settled is there", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a", "b"]);
  await first.journal.settle((await first.journal.take(1))!);
  await first.journal.close();

  const second = await open(fs);
  assert.deepEqual(valuesOf(second.recovered), ["b"]);
  assert.equal(second.journal.status().depth, 1);
  assert.deepEqual([...await second.journal.open()], [[first.journal.run, 1]]);
  await settleAll(second.journal);
  await second.journal.close();
  assert.deepEqual(segmentPaths(fs), []);

  const third = await open(fs);
  assert.deepEqual(third.recovered, []);
  assert.equal(third.journal.stageOf(first.journal.run, 2), "settled");
  await third.journal.close();
});

Deno.test("a last record torn at any byte is cut, and its number given to no other", async () => {
  const whole = await diskWith(["first", "second", "third"]);
  const [path] = segmentPaths(whole);
  const [, , lastAt, end] = recordOffsets(whole.content(path!));
  for (let size = lastAt! + 1; size < end!; size++) {
    const fs = whole.afterPowerLoss();
    await cut(fs, path!, size);
    const { journal, recovered, damage } = await open(fs);
    assert.deepEqual(valuesOf(recovered), ["first", "second"]);
    assert.deepEqual(damage.map(({ kind, offset, bytes }) => ({ kind, offset, bytes })), [
      { kind: "torn-tail", offset: lastAt, bytes: size - lastAt! },
    ]);
    assert.equal(fs.content(path!).length, lastAt);
    const run = recovered[0]!.run;
    assert.equal(journal.stageOf(run, 2), "durable");
    assert.equal(journal.stageOf(run, 3), "withdrawn");
    assert.notEqual(journal.push({ userId: "u", value: "x", ts: 1 }).entry.run, run);
    await journal.close();
    const again = await open(fs);
    assert.deepEqual(again.damage, []);
    assert.deepEqual(valuesOf(again.recovered), ["first", "second", "x"]);
    await again.journal.close();
  }
});

Deno.test("a bit flipped in any byte of a middle record costs only that record", async () => {
  const whole = await diskWith(["first", "second", "third"]);
  const [path] = segmentPaths(whole);
  const [, from, to] = recordOffsets(whole.content(path!));
  for (let at = from!; at < to!; at++) {
    const fs = whole.afterPowerLoss();
    fs.content(path!)[at]! ^= 0x10;
    const { journal, recovered, damage } = await open(fs);
    assert.deepEqual(valuesOf(recovered), ["first", "third"], `byte ${at}`);
    assert.deepEqual(damage.map(({ kind, offset, bytes }) => ({ kind, offset, bytes })), [
      { kind: "damaged", offset: from, bytes: to! - from! },
    ]);
    const [copy] = quarantined(fs);
    assert.deepEqual(fs.content(copy!), fs.content(path!).slice(from, to));
    assert.deepEqual(valuesOf(await takeAll(journal)), ["first", "third"]);
    assert.equal(damage.length, 1);
    assert.equal(journal.status().depth, 2);
    await journal.open();
    await settleAll(journal);
    const { run } = recovered[0]!;
    // The second is lost, and must not be called settled because its neighbours are.
    assert.deepEqual([1, 2, 3].map((seq) => journal.stageOf(run, seq)), [
      "settled",
      "withdrawn",
      "settled",
    ]);
    await journal.close();
  }
});

Deno.test("a flipped last record that a checkpoint knew of is damage, not torn", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a", "b"]);
  await first.journal.close();
  const [path] = segmentPaths(fs);
  fs.content(path!)[fs.content(path!).length - 1]! ^= 1;

  const { journal, recovered, damage } = await open(fs);
  assert.deepEqual(valuesOf(recovered), ["a"]);
  assert.deepEqual(damage.map(({ kind }) => kind), ["damaged"]);
  await pushAll(journal, ["c"]);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["a", "c"]);
  await journal.close();
});

Deno.test("a bad end of a segment that is not the last is damage", async () => {
  const fs = await diskWith(["a", "b"]);
  const second = await open(fs);
  await pushAll(second.journal, ["c"]);
  const [path] = segmentPaths(fs);
  const disk = fs.afterPowerLoss();
  await cut(disk, path!, disk.content(path!).length - 1);

  const { journal, recovered, damage } = await open(disk);
  assert.deepEqual(valuesOf(recovered), ["a", "c"]);
  assert.deepEqual(damage.map(({ kind }) => kind), ["damaged"]);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["a", "c"]);
  await journal.close();
});

Deno.test("a missing segment is reported, and its numbers never count as settled", async () => {
  const fs = await diskWith(["a"]);
  const runs: string[] = [];
  for (const value of ["b", "c"]) {
    const { journal } = await open(fs);
    await pushAll(journal, [value]);
    await journal.close();
    runs.push(journal.run);
  }
  await fs.remove(segmentPaths(fs)[1]!);
  const { journal, recovered, damage } = await open(fs);
  assert.deepEqual(valuesOf(recovered), ["a", "c"]);
  assert.deepEqual(damage.map(({ kind, segment }) => ({ kind, segment })), [
    { kind: "damaged", segment: "missing before 0000000000000003.seg" },
  ]);
  await settleAll(journal);
  assert.deepEqual(runs.map((run) => journal.stageOf(run, 1)), ["withdrawn", "settled"]);
  await journal.close();
});

Deno.test("a segment without a readable header is set aside whole, and alone", async () => {
  const fs = await diskWith(["a"]);
  for (const value of ["b", "c"]) {
    const { journal } = await open(fs);
    await pushAll(journal, [value]);
    await journal.close();
  }
  fs.content(segmentPaths(fs)[1]!).fill(0, 0, 4500);
  const { journal, recovered, damage } = await open(fs);
  assert.deepEqual(valuesOf(recovered), ["a", "c"]);
  assert.equal(damage.length, 1);
  assert.deepEqual(quarantined(fs), [`${DIR}/quarantine/0000000000000002.seg`]);
  await journal.close();
});

Deno.test("a last segment that a crash left headless is removed without a word", async () => {
  const fs = await diskWith(["a"]);
  const stub = await fs.create(`${DIR}/0000000000000002.seg`);
  await stub.writeAt(new Uint8Array(100), 0);
  const { journal, damage } = await open(fs);
  assert.deepEqual(damage, []);
  assert.equal(segmentPaths(fs).length, 1);
  await journal.close();
});

Deno.test("bytes of a record inside a client's value never pass for a record", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  // A whole record in ASCII-only bytes, its CRC unsalted: the best a client can do without the
  // salt.
  const forged = new Uint8Array(36);
  const view = new DataView(forged.buffer);
  view.setUint32(4, 28);
  view.setFloat64(8, 2);
  forged.set([0x20], 35);
  view.setUint32(0, checksum(forged.subarray(4)));
  await pushAll(journal, ["a", new TextDecoder("latin1").decode(forged).repeat(20), "c"]);
  const disk = fs.afterPowerLoss();
  const [path] = segmentPaths(disk);
  disk.content(path!)[recordOffsets(disk.content(path!))[1]!]! ^= 1;
  const second = await open(disk);
  assert.deepEqual(valuesOf(second.recovered), ["a", "c"]);
  await second.journal.close();
});

Deno.test("a damaged checkpoint replays, and no write id is given out twice", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a", "b"]);
  await first.journal.settle((await first.journal.take(1))!);
  await first.journal.close();
  fs.content(`${DIR}/checkpoint`)[15]! ^= 1;
  const second = await open(fs);
  assert.deepEqual(valuesOf(second.recovered), ["a", "b"]);
  assert.deepEqual(second.damage.map(({ segment }) => segment), ["checkpoint"]);
  assert.notEqual(second.journal.run, first.journal.run);
  await settleAll(second.journal);
  await second.journal.close();
});

Deno.test("files of another instance are refused by name", async () => {
  const fs = await diskWith(["a"]);
  const other = await diskWith(["b"]);
  fs.content(`${DIR}/instance`).set(other.content(`${DIR}/instance`));
  await assert.rejects(open(fs), /checkpoint belongs to instance/);
});

Deno.test("verifying reports what is there and changes nothing", async () => {
  const fs = await diskWith(["a", "b", "c"]);
  const [path] = segmentPaths(fs);
  fs.content(path!)[recordOffsets(fs.content(path!))[1]!]! ^= 1;
  await cut(fs, path!, fs.content(path!).length);
  const before = fs.paths().map((name) => [name, fs.content(name).slice()]);
  const eventsBefore = fs.events.length;
  const { segments, records, unsettled, damage } = await verifyJournal(fs, DIR);
  assert.deepEqual({ segments, records, unsettled }, { segments: 1, records: 2, unsettled: 2 });
  assert.deepEqual(damage.map(({ kind }) => kind), ["damaged"]);
  assert.equal(fs.events.length, eventsBefore);
  assert.deepEqual(fs.paths().map((name) => [name, fs.content(name)]), before);
});

Deno.test("a segment that a full disk left empty makes no later start miss records", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 0;
  const first = await open(fs, { monotonicMs: () => nowMs += 1_000 });
  await pushAll(first.journal, ["a", "b"]);
  for (const freeBytes of [10, HEADER_BYTES]) {
    fs.freeBytes = freeBytes;
    await assert.rejects(pushAll(first.journal, ["lost, and its number with it"]));
  }
  const empty = fs.paths().filter((path) => path.endsWith(".seg")).at(-1)!;
  assert.equal(fs.content(empty).length, HEADER_BYTES);

  const disk = fs.afterPowerLoss();
  const second = await open(disk);
  await pushAll(second.journal, ["c"]);
  const third = await open(disk.afterPowerLoss());
  assert.deepEqual(valuesOf(third.recovered), ["a", "b", "c"]);
  assert.deepEqual(third.damage, []);
});
