import assert from "node:assert/strict";
import { type LeftJournal, readLeftJournal, traceOf } from "../../src/journal/left_journal.ts";
import type { EntryGroup } from "../../src/ports/group_store.ts";
import type { GroupSource } from "../../src/ports/group_source.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { DIR, open, pushAll, recordOffsets, segmentPaths, settleAll } from "../support/journals.ts";
import { Random } from "../support/random.ts";

async function allOf(groups: GroupSource): Promise<EntryGroup[]> {
  const all: EntryGroup[] = [];
  for (let group = await groups.take(); group; group = await groups.take()) all.push(group);
  return all;
}

const boundsOf = (groups: readonly EntryGroup[]) => groups.map(({ first, last }) => [first, last]);

/** The disk as it is when its process is gone: nothing is closed, nothing is locked. */
function left(fs: FakeFileSystem): FakeFileSystem {
  const disk = new FakeFileSystem();
  for (const path of fs.paths()) disk.put(path, fs.content(path));
  return disk;
}

function cut(fs: FakeFileSystem, path: string, size: number): void {
  fs.put(path, fs.content(path).slice(0, size));
}

const readAll = async (journal: LeftJournal) => await allOf(journal.groups());

Deno.test("a journal that was left is read whole, and nothing of it changes", async () => {
  const fs = new FakeFileSystem();
  const opened = await open(fs);
  for (const count of [3, 1, 4]) await pushAll(opened.journal, Array(count).fill("x"));
  const disk = left(fs);
  const before = disk.paths().map((path) => [path, disk.content(path).slice()]);
  const found = await readLeftJournal(disk, DIR);
  assert.deepEqual([found.unsettled, found.refusal, found.sources], [8, undefined, [
    opened.journal.run,
  ]]);
  const groups = await readAll(found);
  assert.deepEqual(boundsOf(groups), [[1, 3], [4, 4], [5, 8]]);
  assert.equal(found.end, undefined);
  await found.close();
  assert.deepEqual(disk.paths().map((path) => [path, disk.content(path)]), before);
  assert.deepEqual(disk.events.filter((event) => !event.startsWith("sync 0")), []);
});

Deno.test("what is read was synced before, as its owner would at its start", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a"]);
  const disk = left(fs);
  await (await readLeftJournal(disk, DIR)).close();
  assert.deepEqual(disk.events, segmentPaths(disk).map((path) => `sync ${path.slice(-20)}`));
});

Deno.test("a group without its end is left to the owner, and one of a run before it is not", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a", "b"]);
  await pushAll(first.journal, ["c", "d", "e"]);
  const disk = left(fs);
  const [segment] = segmentPaths(disk);
  // Of the second group two records are whole, and the third is torn.
  cut(disk, segment!, recordOffsets(disk.content(segment!))[5]! - 3);
  const found = await readLeftJournal(disk, DIR);
  assert.equal(found.unsettled, 4);
  assert.deepEqual(boundsOf(await readAll(found)), [[1, 2]]);
  await found.close();
  // The owner begins another run, which has a segment of its own.
  const second = await open(disk);
  await pushAll(second.journal, ["f"]);
  const again = await readLeftJournal(left(disk), DIR);
  assert.deepEqual(boundsOf(await readAll(again)), [[1, 2], [3, 4], [1, 1]]);
  await again.close();
});

Deno.test("nothing behind damage is given, and a journal without its checkpoint or a segment is refused", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs, { segmentBytes: 5_000 });
  for (let i = 0; i < 60; i++) await pushAll(journal, Array(3).fill(`value ${i}`));
  const paths = segmentPaths(fs);
  assert.ok(paths.length > 2);
  const damaged = left(fs);
  const bytes = damaged.content(paths[1]!);
  bytes[recordOffsets(bytes)[4]! + 20]! ^= 1;
  const found = await readLeftJournal(damaged, DIR);
  const groups = await readAll(found);
  const first = recordOffsets(fs.content(paths[0]!)).length - 1;
  assert.equal(groups.at(-1)!.last, first + 3, "the whole groups before it");
  assert.match(found.end!, /is damaged at byte/);
  assert.equal(found.refusal, undefined);
  await found.close();

  const missing = left(fs);
  missing.takeAway(paths[1]!);
  assert.match((await readLeftJournal(missing, DIR)).refusal!, /^missing before .* is damaged, or/);
  const unreadable = left(fs);
  unreadable.content(`${DIR}/checkpoint`)[3]! ^= 1;
  assert.match((await readLeftJournal(unreadable, DIR)).refusal!, /^checkpoint is damaged/);
});

Deno.test("damage that a later read meets ends it, too", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  for (let i = 0; i < 10; i++) await pushAll(journal, ["a", "b"]);
  const disk = left(fs);
  const found = await readLeftJournal(disk, DIR);
  const [segment] = segmentPaths(disk);
  disk.content(segment!)[recordOffsets(disk.content(segment!))[7]! + 20]! ^= 1;
  assert.deepEqual(boundsOf(await readAll(found)), [[1, 2], [3, 4], [5, 6]]);
  assert.match(found.end!, /damaged/);
});

Deno.test("whatever a crash leaves of a journal, each group that is given is one that the owner sends", async () => {
  let [given, cuts] = [0, 0];
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed);
    const fs = new FakeFileSystem();
    const { journal } = await open(fs, { segmentBytes: random.pick([3_000, 9_000, 1_000_000]) });
    for (let i = random.below(20); i >= 0; i--) {
      await pushAll(journal, Array(1 + random.below(6)).fill("v".repeat(random.below(200))));
      if (random.chance(0.1)) await settleAll(journal);
    }
    const disk = left(fs);
    const last = segmentPaths(disk).at(-1);
    if (last === undefined) continue;
    const size = disk.content(last).length;
    if (random.chance(0.8)) cut(disk, last, size - random.below(Math.min(size, 1_500)));
    const before = disk.paths().map((path) => [path, disk.content(path).slice()]);
    const found = await readLeftJournal(disk, DIR);
    const adopted = found.refusal === undefined ? await readAll(found) : [];
    await found.close();
    assert.deepEqual(disk.paths().map((path) => [path, disk.content(path)]), before, `${seed}`);
    const owner = await open(disk);
    const sent = await allOf(owner.journal.groups(() => true));
    const keyOf = ({ source, first, last, entries }: EntryGroup) =>
      JSON.stringify([source, first, last, entries]);
    const keys = new Set(sent.map(keyOf));
    for (const group of adopted) assert.ok(keys.has(keyOf(group)), `seed ${seed}: ${keyOf(group)}`);
    assert.ok(adopted.length >= sent.length - 1, "and only the last one may be left out");
    given += adopted.length;
    if (adopted.length < sent.length) cuts++;
    await owner.journal.close();
  }
  assert.ok(given > 500 && cuts > 20, `${given} groups, ${cuts} left out`);
});

Deno.test("a start of the owner leaves a trace", async () => {
  const fs = new FakeFileSystem();
  await (await open(fs)).journal.close();
  const before = await traceOf(fs, DIR);
  assert.equal(await traceOf(fs, DIR), before);
  await (await open(fs)).journal.close();
  assert.notEqual(await traceOf(fs, DIR), before);
});
