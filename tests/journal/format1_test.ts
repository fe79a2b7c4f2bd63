/** A directory that a program left that knew only format 1 (fixtures/format1.json). */
import assert from "node:assert/strict";
import type { Journal } from "../../src/journal/journal.ts";
import { verifyJournal } from "../../src/journal/verify.ts";
import type { Batch } from "../../src/ports/source.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { DIR, open, pushAll, quarantined, segmentPaths, settleAll } from "../support/journals.ts";
import fixture from "./fixtures/format1.json" with { type: "json" };

const INSTANCE = "kwqbi2s4dny7";
const HOUR_MS = 3_600_000;
/** Records of format 1 begin here. */
const RECORDS_AT = 4164;

/**
 * Numbers 3 and 4, 5, 6 and 7, 8 and 9 in four segments; three runs; the store has 1 to 3; the
 * last checkpoint is from before 8.
 */
async function oldDisk(): Promise<FakeFileSystem> {
  const fs = new FakeFileSystem();
  for (const [name, lines] of Object.entries(fixture.files)) {
    const packed = Uint8Array.fromBase64(lines.join(""));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    fs.put(`${DIR}/${name}`, new Uint8Array(await new Response(unpacked).arrayBuffer()));
  }
  return fs;
}

async function takeBatches(journal: Journal): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let batch = await journal.take(100); batch; batch = await journal.take(100)) {
    batches.push(batch);
  }
  return batches;
}

function seqsOf(entries: readonly { readonly seq: number }[]): number[] {
  return entries.map(({ seq }) => seq);
}

Deno.test("all of it is delivered under its old ids and sources, before what is new", async () => {
  const fs = await oldDisk();
  const { journal, recovered, damage } = await open(fs);
  assert.deepEqual(damage, []);
  assert.deepEqual(recovered[0], {
    userId: "user1",
    value: "old value 4 äöü",
    ts: 1_700_000_004,
    acceptedMs: 1_700_000_000_003,
    run: INSTANCE,
    seq: 4,
  });
  assert.deepEqual(seqsOf(recovered), [4, 5, 6, 7, 8, 9]);
  await pushAll(journal, ["new"]);
  const batches = await takeBatches(journal);
  assert.deepEqual(batches.map(({ entries }) => seqsOf(entries)), [[4, 5], [6, 7], [8, 9], [1]]);
  const old = batches.slice(0, 3);
  assert.deepEqual(old.flatMap(({ entries }) => entries), recovered);
  for (const { source } of old) assert.match(source, new RegExp(`^${INSTANCE}/[0-9a-z]{12}$`));
  assert.equal(new Set(old.map(({ source }) => source)).size, 3);
  const settled = await journal.open();
  assert.deepEqual([...settled.values()], [3, 0, 0, 0]);
  assert.equal(batches[3]!.source, journal.run);
  await journal.close();
});

Deno.test("an old number is known for ever, and never given out again", async () => {
  const fs = await oldDisk();
  const first = await open(fs);
  const stages = (journal: Journal) => [3, 4, 9, 10].map((seq) => journal.stageOf(INSTANCE, seq));
  assert.deepEqual(stages(first.journal), ["settled", "durable", "durable", "withdrawn"]);
  await settleAll(first.journal);
  assert.deepEqual(stages(first.journal), ["settled", "settled", "settled", "withdrawn"]);
  const { entry, durable } = first.journal.push({ userId: "u", value: "new", ts: 1 });
  assert.notEqual(entry.run, INSTANCE);
  assert.ok(entry.acceptedMs > 1_700_000_000_008);
  await durable;
  await settleAll(first.journal);
  await first.journal.close();
  assert.deepEqual(segmentPaths(fs), []);
  // As an older program reads it: it would go on with 10.
  const checkpoint = JSON.parse(new TextDecoder().decode(fs.content(`${DIR}/checkpoint`)));
  assert.deepEqual([checkpoint.ackedSeq, checkpoint.lastSeq], [9, 9]);
  const second = await open(fs);
  assert.deepEqual(stages(second.journal), ["settled", "settled", "settled", "withdrawn"]);
  await second.journal.close();
});

Deno.test("new segments are named after the old ones, and the next start finds both", async () => {
  const fs = await oldDisk();
  const first = await open(fs);
  await first.journal.settle((await first.journal.take(100))!);
  await pushAll(first.journal, ["new"]);
  assert.deepEqual(segmentPaths(fs.afterPowerLoss()), [
    `${DIR}/0000000000000006.seg`,
    `${DIR}/0000000000000008.seg`,
    `${DIR}/0000000000000009.seg`,
  ]);
  const second = await open(fs.afterPowerLoss());
  assert.deepEqual(second.damage, []);
  assert.deepEqual(seqsOf(second.recovered), [6, 7, 8, 9, 1]);
  assert.deepEqual(second.recovered.map(({ run }) => run), [
    ...Array(4).fill(INSTANCE),
    first.journal.run,
  ]);
  await second.journal.close();
});

Deno.test("a torn tail of format 1 is cut, and its number counts as withdrawn", async () => {
  const whole = await oldDisk();
  const path = `${DIR}/0000000000000008.seg`;
  const content = whole.content(path);
  const lastAt = RECORDS_AT + (content.length - RECORDS_AT) / 2;
  for (let size = lastAt + 1; size < content.length; size++) {
    const fs = await oldDisk();
    fs.put(path, content.subarray(0, size));
    const { journal, recovered, damage } = await open(fs);
    assert.deepEqual(seqsOf(recovered), [4, 5, 6, 7, 8]);
    assert.deepEqual(damage, [{
      kind: "torn-tail",
      segment: "0000000000000008.seg",
      offset: lastAt,
      bytes: size - lastAt,
    }]);
    assert.equal(fs.content(path).length, lastAt);
    assert.equal(journal.stageOf(INSTANCE, 9), "withdrawn");
    await pushAll(journal, ["new"]);
    await journal.close();
    const again = await open(fs);
    assert.deepEqual(again.damage, []);
    assert.deepEqual(seqsOf(again.recovered), [4, 5, 6, 7, 8, 1]);
    await again.journal.close();
  }
});

Deno.test("damage in any byte of format 1 costs one record, which is put aside", async () => {
  const whole = await oldDisk();
  const path = `${DIR}/0000000000000006.seg`;
  const content = whole.content(path);
  const secondAt = RECORDS_AT + (content.length - RECORDS_AT) / 2;
  for (let at = RECORDS_AT; at < content.length; at++) {
    const fs = await oldDisk();
    fs.content(path)[at]! ^= 0x10;
    const { journal, recovered, damage } = await open(fs);
    const lost = at < secondAt ? 6 : 7;
    assert.deepEqual(seqsOf(recovered), [4, 5, 6, 7, 8, 9].filter((seq) => seq !== lost));
    assert.deepEqual(damage.map(({ kind, segment }) => `${kind} ${segment}`), [
      "damaged 0000000000000006.seg",
    ]);
    assert.equal(quarantined(fs).length, 1);
    assert.deepEqual((await takeBatches(journal)).flatMap(({ entries }) => entries), recovered);
    await journal.close();
  }
});

Deno.test("a segment of format 1 without a readable header is set aside whole", async () => {
  const fs = await oldDisk();
  fs.content(`${DIR}/0000000000000006.seg`).fill(0, 0, 4200);
  const { journal, recovered, damage } = await open(fs);
  assert.deepEqual(seqsOf(recovered), [4, 5, 8, 9]);
  assert.deepEqual(damage.map(({ kind, segment }) => `${kind} ${segment}`), [
    "damaged 0000000000000006.seg",
  ]);
  assert.deepEqual(quarantined(fs), [`${DIR}/quarantine/0000000000000006.seg`]);
  await journal.close();
});

Deno.test("a missing segment of format 1 is reported", async () => {
  const fs = await oldDisk();
  await fs.remove(`${DIR}/0000000000000006.seg`);
  const { journal, recovered, damage } = await open(fs);
  assert.deepEqual(seqsOf(recovered), [4, 5, 8, 9]);
  assert.deepEqual(damage.map(({ segment }) => segment), ["missing before 0000000000000008.seg"]);
  await journal.close();
});

Deno.test("verifying reads format 1 whole and changes nothing", async () => {
  const fs = await oldDisk();
  const { instance, segments, records, unsettled, damage } = await verifyJournal(fs, DIR);
  assert.deepEqual({ instance, segments, records, unsettled, damage }, {
    instance: INSTANCE,
    segments: 4,
    records: 7,
    unsettled: 6,
    damage: [],
  });
  assert.deepEqual(fs.events, []);
});

Deno.test("settled segments of format 1 are kept and sent again like others", async () => {
  const fs = await oldDisk();
  const first = await open(fs, { retainMs: HOUR_MS });
  const batches = await takeBatches(first.journal);
  for (const batch of batches) await first.journal.settle(batch);
  await first.journal.close();

  const { journal, recovered } = await open(fs, { retainMs: HOUR_MS });
  assert.deepEqual(recovered, []);
  assert.deepEqual(
    [...await journal.open()],
    batches.map(({ source, lastSeq }) => [source, lastSeq]),
  );
  const [oldest, middle] = batches.map(({ source }) => source);
  assert.deepEqual(await journal.rewind(middle!, 6), { entries: 1, missingThrough: undefined });
  assert.deepEqual(seqsOf(recovered), [7]);
  assert.equal(journal.stageOf(INSTANCE, 7), "durable");
  assert.equal(journal.stageOf(INSTANCE, 8), "settled");
  // Numbers 1 and 2 went with their segment when the old program had stored them.
  assert.deepEqual(await journal.rewind(oldest!, 0), { entries: 3, missingThrough: 2 });
  const again = await takeBatches(journal);
  assert.deepEqual(again.map(({ entries }) => seqsOf(entries)), [[3, 4, 5], [7]]);
  await journal.close();
});
