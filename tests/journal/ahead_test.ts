/** Segments are filled with zeros ahead of their records, where the file system asks for it. */
import assert from "node:assert/strict";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { AppError } from "../../src/errors.ts";
import { HEADER_BYTES } from "../../src/journal/codec.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import {
  open,
  pushAll,
  quarantined,
  recordOffsets,
  segmentPaths,
  takeAll,
  valuesOf,
} from "../support/journals.ts";

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof AppError && error.code === code;
}

const AHEAD_BYTES = 32 * 1024;

function disk(): FakeFileSystem {
  const fs = new FakeFileSystem();
  fs.aheadBytes = AHEAD_BYTES;
  return fs;
}

/** Pushes one value after the other, so that each is a group. */
async function pushEach(
  journal: Parameters<typeof pushAll>[0],
  values: readonly string[],
): Promise<void> {
  for (const value of values) await pushAll(journal, [value]);
}

/** A disk as a power loss leaves it, with one segment of these values and zeros behind them. */
async function diskWith(values: readonly string[]): Promise<FakeFileSystem> {
  const fs = disk();
  const { journal } = await open(fs);
  await pushEach(journal, values);
  const left = fs.afterPowerLoss();
  const [path] = segmentPaths(left);
  assert.equal(left.content(path!).at(-1), 0);
  return left;
}

Deno.test("a group is written over zeros in one call, and is there after a power loss", async () => {
  const fs = disk();
  const { journal } = await open(fs);
  const values = Array.from({ length: 200 }, (_, i) => `value ${i}`.padEnd(300, "."));
  await pushEach(journal, values);
  assert.ok(fs.count("overwrite") > 190, `${fs.count("overwrite")} of 200`);
  assert.deepEqual(valuesOf(await takeAll(journal)), values);

  const next = await open(fs.afterPowerLoss());
  assert.deepEqual(valuesOf(next.recovered), values);
  assert.deepEqual(next.damage, []);
  await next.journal.close();
});

Deno.test("a start cuts off the zeros without a word; an end in order leaves none", async () => {
  const left = await diskWith(["a", "b", "c"]);
  const [path] = segmentPaths(left);
  const { journal, recovered, damage } = await open(left);
  assert.deepEqual(valuesOf(recovered), ["a", "b", "c"]);
  assert.deepEqual(damage, []);
  assert.notEqual(left.content(path!).at(-1), 0);
  await pushEach(journal, ["d", "e", "f"]);
  await journal.close();
  for (const each of segmentPaths(left)) assert.notEqual(left.content(each).at(-1), 0);
});

Deno.test("a record torn before the zeros is cut, and reported without them", async () => {
  const left = await diskWith(["first", "second", "third"]);
  const [path] = segmentPaths(left);
  const content = left.content(path!);
  const view = new DataView(content.buffer);
  let lastAt = HEADER_BYTES;
  for (let i = 0; i < 2; i++) lastAt += 8 + view.getUint32(lastAt + 4);
  content.fill(0, lastAt + 30, lastAt + 8 + view.getUint32(lastAt + 4));
  const { journal, recovered, damage } = await open(left);
  assert.deepEqual(valuesOf(recovered), ["first", "second"]);
  assert.deepEqual(damage.map(({ kind, offset }) => ({ kind, offset })), [
    { kind: "torn-tail", offset: lastAt },
  ]);
  assert.ok(damage[0]!.bytes <= 30);
  assert.equal(left.content(path!).length, lastAt);
  await journal.close();
});

Deno.test("zeros before a record are damage, and the records behind them are kept", async () => {
  const left = await diskWith(["first", "second", "third"]);
  const [path] = segmentPaths(left);
  const content = left.content(path!);
  const view = new DataView(content.buffer);
  const from = HEADER_BYTES + 8 + view.getUint32(HEADER_BYTES + 4);
  const to = from + 8 + view.getUint32(from + 4);
  content.fill(0, from, to);
  const { journal, recovered, damage } = await open(left);
  assert.deepEqual(valuesOf(recovered), ["first", "third"]);
  assert.deepEqual(damage.map(({ kind, offset, bytes }) => ({ kind, offset, bytes })), [
    { kind: "damaged", offset: from, bytes: to - from },
  ]);
  assert.equal(quarantined(left).length, 1);
  await journal.close();
});

Deno.test("zeros behind a segment that is not the last are no damage", async () => {
  const left = await diskWith(["a", "b"]);
  const second = await open(left);
  await pushAll(second.journal, ["c"]);
  const disk = left.afterPowerLoss();
  const [path] = segmentPaths(disk);
  const { length } = disk.content(path!);
  const filled = new Uint8Array(length + AHEAD_BYTES);
  filled.set(disk.content(path!));
  disk.put(path!, filled);
  const { journal, recovered, damage } = await open(disk);
  assert.deepEqual(valuesOf(recovered), ["a", "b", "c"]);
  assert.deepEqual(damage, []);
  assert.equal(journal.status().bytes, length + disk.content(segmentPaths(disk)[1]!).length);
  await journal.close();
});

Deno.test("a disk without room for zeros takes what fits without them", async () => {
  const fs = disk();
  const { journal } = await open(fs);
  await pushAll(journal, ["a"]);
  fs.freeBytes = 1_000;
  await pushEach(journal, ["b", "c", "d"]);
  assert.equal(journal.status().lackOfRoom, undefined);
  await assert.rejects(pushAll(journal, ["x".repeat(2_000)]), hasCode("queue-full"));
  fs.freeBytes = Infinity;
  const next = await open(fs.afterPowerLoss());
  assert.deepEqual(valuesOf(next.recovered), ["a", "b", "c", "d"]);
  assert.deepEqual(next.damage, []);
  await next.journal.close();
});

Deno.test("nothing is accepted any more after zeros could not be synced", async () => {
  const fs = disk();
  const { journal } = await open(fs);
  await pushAll(journal, ["a"]);
  fs.beforeSync = () => {
    throw new Error("I/O error");
  };
  await assert.rejects(async () => {
    for (let i = 0; i < 100; i++) await pushAll(journal, ["x".repeat(500)]);
  }, hasCode("journal-failed"));
  const next = await open(fs.afterPowerLoss());
  assert.equal(next.recovered[0]!.value, "a");
  await next.journal.close();
});

Deno.test("segments are filled ahead no further than they may grow", async () => {
  const fs = disk();
  const { journal } = await open(fs, { segmentBytes: HEADER_BYTES + 10_000 });
  await pushEach(journal, Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(400, ".")));
  const sizes = segmentPaths(fs).map((path) => fs.content(path).length);
  assert.ok(sizes.length > 3);
  assert.ok(Math.max(...sizes) <= HEADER_BYTES + 10_000, `${sizes}`);
  // All but the one that is being written end with a record.
  for (const path of segmentPaths(fs).slice(0, -1)) recordOffsets(fs.content(path));
  await journal.close();
});

Deno.test("an overwrite changes nothing but its place", async () => {
  const dir = await Deno.makeTempDir();
  const file = await denoFileSystem.create(`${dir}/segment`);
  await file.writeAt(new Uint8Array(100), 0);
  await file.sync();
  await file.overwrite(new Uint8Array([1, 2, 3]), 10);
  file.close();
  const written = await Deno.readFile(`${dir}/segment`);
  assert.equal(written.length, 100);
  assert.deepEqual(written.slice(9, 14), new Uint8Array([0, 1, 2, 3, 0]));
  await Deno.remove(dir, { recursive: true });
});
