import assert from "node:assert/strict";
import { GroupReader } from "../../src/journal/group_reader.ts";
import type { EntryGroup } from "../../src/ports/group_store.ts";
import type { GroupSource, ReadGroup } from "../../src/ports/group_source.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { entry } from "../support/fakes.ts";
import { SOURCE } from "../support/groups.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { open, pushAll, recordOffsets, segmentPaths } from "../support/journals.ts";
import { Random } from "../support/random.ts";

async function allOf(groups: GroupSource): Promise<ReadGroup[]> {
  const all: ReadGroup[] = [];
  for (let group = await groups.take(); group; group = await groups.take()) all.push(group);
  return all;
}

function read(journal: Journal): Promise<ReadGroup[]> {
  return allOf(journal.groups(() => true));
}

const boundsOf = (groups: readonly EntryGroup[]) => groups.map(({ first, last }) => [first, last]);

Deno.test("what became durable together is one group, and each number is in one", async () => {
  const { journal } = await open(new FakeFileSystem());
  for (const count of [3, 1, 4]) await pushAll(journal, Array(count).fill("x"));
  const groups = await read(journal);
  assert.deepEqual(boundsOf(groups), [[1, 3], [4, 4], [5, 8]]);
  assert.ok(groups.every(({ source }) => source === journal.run));
  assert.deepEqual(groups.flatMap(({ entries }) => entries.map(({ seq }) => seq)), [
    ...[1, 2, 3, 4, 5, 6, 7, 8],
  ]);
  await journal.close();
});

Deno.test("a reader goes on where it was when more becomes durable", async () => {
  const { journal } = await open(new FakeFileSystem(), { segmentBytes: 2_000 });
  const groups = journal.groups(() => true);
  assert.equal(await groups.take(), undefined);
  const seen: EntryGroup[] = [];
  for (let i = 0; i < 40; i++) {
    await pushAll(journal, Array(1 + i % 3).fill(`value ${i}`));
    seen.push(...await allOf(groups));
  }
  assert.deepEqual(boundsOf(seen), boundsOf(await read(journal)));
  assert.equal(seen.length, 40);
  await journal.close();
});

Deno.test("groups are cut once: whoever reads, and after whatever was settled, gets the same", async () => {
  const random = new Random(11_2026);
  const fs = new FakeFileSystem();
  const first = await open(fs, { segmentBytes: 3_000 });
  for (let i = 0; i < 60; i++) {
    await pushAll(first.journal, Array(random.pick([1, 2, 7])).fill("v"));
  }
  const all = await read(first.journal);
  const settled = all[random.below(40)]!.last;
  for (let seq = 0; seq < settled;) {
    const batch = (await first.journal.take(Math.min(10, settled - seq)))!;
    await first.journal.settle(batch);
    seq = batch.lastSeq;
  }
  const rest = boundsOf(all).filter(([, last]) => last! > settled);
  assert.deepEqual(boundsOf(await read(first.journal)), rest);
  await first.journal.close();
  const second = await open(fs);
  assert.deepEqual(boundsOf(await read(second.journal)), rest, "another run reads the same");
  assert.deepEqual(second.journal.waitingSources, [first.journal.run]);
  assert.deepEqual(second.journal.sources, [first.journal.run]);
  await second.journal.close();
});

Deno.test("numbers that never became durable are named by a group without entries", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 0;
  const { journal } = await open(fs, { monotonicMs: () => nowMs });
  await pushAll(journal, ["a", "b"]);
  fs.freeBytes = 0;
  await assert.rejects(pushAll(journal, ["lost", "lost too"]));
  fs.freeBytes = Infinity;
  nowMs += 60_000;
  await pushAll(journal, ["c"]);
  const groups = await read(journal);
  assert.deepEqual(boundsOf(groups), [[1, 2], [3, 4], [5, 5]]);
  assert.deepEqual(groups.map(({ entries }) => entries.length), [2, 0, 1]);
  await journal.close();
});

Deno.test("a reader that begins anew starts behind what the store has", async () => {
  const { journal } = await open(new FakeFileSystem());
  for (const count of [3, 2, 4]) await pushAll(journal, Array(count).fill("x"));
  const groups = journal.groups(() => true);
  await allOf(groups);
  groups.restart(new Map([[journal.run, 3]]));
  assert.deepEqual(boundsOf(await allOf(groups)), [[4, 5], [6, 9]]);
  groups.restart(new Map([[journal.run, 9]]));
  assert.deepEqual(await allOf(groups), []);
  await journal.close();
});

Deno.test("a reader is not disturbed by what is settled and removed beside it", async () => {
  const { journal } = await open(new FakeFileSystem(), { segmentBytes: 1_000 });
  const groups = journal.groups(() => true);
  for (let i = 0; i < 30; i++) await pushAll(journal, [`value ${i}`]);
  const begin = await groups.take();
  for (let i = 0; i < 20; i++) await journal.settle((await journal.take(1))!);
  const rest = boundsOf(await allOf(groups));
  assert.deepEqual(boundsOf([begin!]), [[1, 1]]);
  assert.deepEqual(rest.at(-1), [30, 30]);
  assert.deepEqual(rest.slice(-10), Array.from({ length: 10 }, (_, i) => [21 + i, 21 + i]));
  await journal.close();
});

Deno.test("a group that a crash cut short ends with what is there", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a"]);
  await pushAll(first.journal, ["b", "c", "d"]);
  const crashed = fs.afterPowerLoss();
  const [path] = segmentPaths(crashed);
  const content = crashed.content(path!);
  const offsets = recordOffsets(content);
  crashed.put(path!, content.slice(0, offsets[3]! + 5));
  await first.journal.close();
  const second = await open(crashed);
  const groups = await read(second.journal);
  assert.deepEqual(boundsOf(groups), [[1, 1], [2, 3]]);
  await pushAll(second.journal, ["e"]);
  assert.deepEqual(boundsOf(await read(second.journal)), [[1, 1], [2, 3], [1, 1]]);
  await second.journal.close();
});

Deno.test("what borders on damage is doubtful, and nothing else is", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a"]);
  await pushAll(first.journal, ["b", "c", "d", "e"]);
  await pushAll(first.journal, ["f", "g"]);
  const [path] = segmentPaths(fs);
  const content = fs.content(path!);
  content[recordOffsets(content)[2]! + 20]! ^= 0xff;
  fs.put(path!, content);
  const groups = await read(first.journal);
  assert.deepEqual(boundsOf(groups), [[1, 1], [2, 2], [3, 3], [4, 5], [6, 7]]);
  assert.deepEqual(groups.map(({ isDoubtful = false }) => isDoubtful), [
    ...[false, true, true, true, false],
  ]);
  await first.journal.close();
});

Deno.test("only wanted sources are read", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a"]);
  await first.journal.close();
  const second = await open(fs);
  await pushAll(second.journal, ["b", "c"]);
  const old = second.journal.groups((source) => source === first.journal.run);
  assert.deepEqual((await allOf(old)).map(({ source }) => source), [first.journal.run]);
  assert.equal(await old.take(), undefined);
  const own = second.journal.groups((source) => source === second.journal.run);
  assert.deepEqual(boundsOf(await allOf(own)), [[1, 2]]);
  await second.journal.close();
});

Deno.test("what becomes durable while a damaged end is read is not taken for damaged", async () => {
  const seqs = (first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, i) => entry(first + i));
  const segment = {
    ...{ source: SOURCE, run: SOURCE, header: { format: 2 }, removed: false },
    ...{ end: 100, lastSeq: 10 },
    signpostFor: () => ({ offset: 0, seq: 1 }),
    read: ({ from, expectedSeq }: { from: number; expectedSeq: number }) => {
      if (from > 0) {
        assert.deepEqual([from, expectedSeq], [100, 11]);
        return Promise.resolve({ records: seqs(11, 20), groupEnds: [9], next: 200 });
      }
      Object.assign(segment, { end: 200, lastSeq: 20 });
      const damage = { from: 80, to: 100, expectedSeq: 9, nextSeq: undefined };
      return Promise.resolve({ records: seqs(1, 8), groupEnds: [7], damage, next: 100 });
    },
  };
  const reader = new GroupReader({
    segments: Object.assign([segment], { isSettled: () => false }) as never,
    progress: { of: () => ({ settledSeq: 0, floorSeq: 0 }) } as never,
    run: SOURCE,
    isWanted: () => true,
  });
  const groups = await allOf(reader);
  assert.deepEqual(boundsOf(groups), [[1, 8], [9, 10], [11, 20]]);
  assert.deepEqual(groups.map(({ entries }) => entries.length), [8, 0, 10]);
});
