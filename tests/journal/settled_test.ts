import assert from "node:assert/strict";
import { CHECKPOINT_FILE, forgetStore, readCheckpoint } from "../../src/journal/checkpoint.ts";
import { checksum } from "../../src/journal/codec.ts";
import { Progress } from "../../src/journal/progress.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { DIR, open, pushAll, settleAll, valuesOf } from "../support/journals.ts";

const PATH = `${DIR}/${CHECKPOINT_FILE}`;
const HOUR_MS = 3_600_000;

async function putText(fs: FakeFileSystem, text: string): Promise<void> {
  await fs.remove(PATH);
  const file = await fs.create(PATH);
  await file.writeAt(new TextEncoder().encode(text), 0);
}

/** How programs read the checkpoint that know only format 1. */
function readAsBefore(text: string): Record<string, unknown> | "damaged" {
  const { crc, ...content } = JSON.parse(text);
  return crc === checksum(new TextEncoder().encode(JSON.stringify(content))) ? content : "damaged";
}

Deno.test("a start knows how far each source is settled, over idle runs, too", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  assert.deepEqual([...await first.journal.open()], []);
  await pushAll(first.journal, ["a", "b", "c"]);
  await first.journal.settle((await first.journal.take(2))!);
  await first.journal.close();
  const runs: [string, number][] = [[first.journal.run, 2]];
  for (let run = 0; run < 2; run++) {
    const { journal } = await open(fs);
    assert.deepEqual([...await journal.open()], runs);
    await pushAll(journal, ["d"]);
    await journal.close();
    runs.push([journal.run, 0]);
  }
});

Deno.test("what was settled last is known although nothing of it is kept", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  await pushAll(first.journal, ["a", "b", "c"]);
  await settleAll(first.journal);
  await first.journal.close();
  const { journal } = await open(fs);
  assert.deepEqual([...await journal.open()], [[first.journal.run, 3]]);
  assert.deepEqual(await journal.rewind(first.journal.run, 1), { entries: 0, missingThrough: 3 });
  // The store has the first only, and nobody has the others.
  const stages = [1, 2, 3].map((seq) => journal.stageOf(first.journal.run, seq));
  assert.deepEqual(stages, ["settled", "withdrawn", "withdrawn"]);
  await journal.close();
});

Deno.test("numbers that no store ever had do not count as settled", async () => {
  const fs = new FakeFileSystem();
  const { journal, withdrawn } = await open(fs);
  await pushAll(journal, ["a"]);
  const batch = (await journal.take(1))!;
  fs.freeBytes = 10;
  await assert.rejects(pushAll(journal, ["no room"]));
  fs.freeBytes = Infinity;
  await journal.settle(batch);
  assert.deepEqual(valuesOf(withdrawn), ["no room"]);
  assert.equal(journal.status().depth, 0);
  await journal.close();
  const next = await open(fs);
  assert.deepEqual([...await next.journal.open()], [[journal.run, 1]]);
  assert.equal(next.journal.stageOf(journal.run, 1), "settled");
  assert.equal(next.journal.stageOf(journal.run, 2), "withdrawn");
  await next.journal.close();
});

Deno.test("an older program reads a checkpoint, and goes on past the last old number", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a", "b"]);
  await journal.settle((await journal.take(1))!);
  await journal.close();
  const seenBefore = readAsBefore(new TextDecoder().decode(fs.content(PATH)));
  assert.notEqual(seenBefore, "damaged");
  const { instance, ackedSeq, lastSeq, settled } = seenBefore as Record<string, unknown>;
  assert.deepEqual({ instance, ackedSeq, lastSeq, settled }, {
    instance: journal.status().instance,
    ackedSeq: 0,
    lastSeq: 0,
    settled: undefined,
  });
});

Deno.test("a changed byte anywhere in what was settled makes the checkpoint damaged", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a"]);
  await journal.settle((await journal.take(1))!);
  await journal.close();
  const text = new TextDecoder().decode(fs.content(PATH));
  const changed = text.replace(`"${journal.run}",1,`, `"${journal.run}",2,`);
  assert.notEqual(changed, text);
  await putText(fs, changed);
  assert.equal(await readCheckpoint(fs, DIR), "damaged");
});

Deno.test("a journal for another store forgets what the old one had, keeps nothing", async () => {
  const fs = new FakeFileSystem();
  const retained = { retainMs: HOUR_MS, segmentBytes: 5_000 };
  const { journal } = await open(fs, retained);
  for (const value of ["a", "b", "c"]) await pushAll(journal, [value.padEnd(700)]);
  await journal.settle((await journal.take(2))!);
  await journal.close();
  await forgetStore(fs, DIR);

  const next = await open(fs, retained);
  assert.deepEqual([...await next.journal.open()], [[journal.run, 0]]);
  assert.equal(next.journal.status().retainedBytes, 0);
  assert.deepEqual(valuesOf(next.recovered).map((value) => value.trimEnd()), ["c"]);
  assert.equal(next.journal.stageOf(journal.run, 2), "settled");
  await settleAll(next.journal);
  // The new store lost it all: what the old one had does not go to it either.
  assert.deepEqual(await next.journal.rewind(journal.run, 0), {
    entries: 1,
    missingThrough: undefined,
  });
  await next.journal.close();
});

Deno.test("a checkpoint names a bounded number of sources, and all that matter", () => {
  const progress = new Progress();
  const inJournal = new Set<string>();
  for (let i = 0; i < 3_000; i++) {
    const source = `run${i}`;
    progress.set(progress.of(source));
    if (i % 6 === 0) progress.settle(source, 7);
    if (i % 2 === 0) inJournal.add(source);
  }
  const names = progress.remembered(inJournal).map(({ source }) => source);
  const all = Array.from({ length: 3_000 }, (_, i) => i);
  const settled = all.filter((i) => i % 6 === 0);
  const untouched = all.filter((i) => i % 2 === 0 && i % 6 !== 0).slice(-1_000);
  const gone = all.filter((i) => i % 2 !== 0).slice(-64);
  const expected = [...settled, ...untouched, ...gone].sort((a, b) => a - b);
  assert.deepEqual(names, expected.map((i) => `run${i}`));
});
