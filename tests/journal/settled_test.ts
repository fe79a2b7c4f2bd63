import assert from "node:assert/strict";
import { CHECKPOINT_FILE, forgetStore, readCheckpoint } from "../../src/journal/checkpoint.ts";
import { checksum } from "../../src/journal/codec.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { DIR, open, pushAll } from "../support/journals.ts";

const PATH = `${DIR}/${CHECKPOINT_FILE}`;

async function putText(fs: FakeFileSystem, text: string): Promise<void> {
  await fs.remove(PATH);
  const file = await fs.create(PATH);
  await file.writeAt(new TextEncoder().encode(text), 0);
}

/** How programs read the checkpoint that knew nothing of `settled`. */
function readAsBefore(text: string): Record<string, unknown> | "damaged" {
  const { crc, ...content } = JSON.parse(text);
  return crc === checksum(new TextEncoder().encode(JSON.stringify(content))) ? content : "damaged";
}

Deno.test("a start knows the last batch that the store took, also over runs that flushed nothing", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  assert.equal(first.journal.settledBefore, undefined);
  await pushAll(first.journal, ["a", "b", "c"]);
  const batch = (await first.journal.take(2))!;
  await first.journal.ack(batch);
  await first.journal.close();
  for (let run = 0; run < 2; run++) {
    const { journal } = await open(fs);
    assert.deepEqual(journal.settledBefore, { source: batch.source, seq: 2 });
    await pushAll(journal, ["d"]);
    await journal.close();
  }
});

Deno.test("numbers that no store ever had do not count as settled", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a"]);
  const batch = (await journal.take(1))!;
  fs.freeBytes = 10;
  await assert.rejects(pushAll(journal, ["no room"]));
  fs.freeBytes = Infinity;
  await journal.ack(batch);
  assert.equal(journal.stats().ackedSeq, 2);
  await journal.close();
  const next = await open(fs);
  assert.deepEqual(next.journal.settledBefore, { source: batch.source, seq: 1 });
  await next.journal.close();
});

Deno.test("a checkpoint of an older program can be read, and an older program can read a new one", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a", "b"]);
  await journal.ack((await journal.take(1))!);
  await journal.close();
  const text = new TextDecoder().decode(fs.content(PATH));
  const seenBefore = readAsBefore(text);
  assert.notEqual(seenBefore, "damaged");
  const { settled, ...older } = seenBefore as Record<string, unknown>;
  assert.notEqual(settled, undefined);
  assert.equal(older.ackedSeq, 1);

  const crc = checksum(new TextEncoder().encode(JSON.stringify(older)));
  await putText(fs, JSON.stringify({ ...older, crc }) + "\n");
  const next = await open(fs);
  assert.deepEqual(next.damage, []);
  assert.deepEqual(next.recovered.map(({ value }) => value), ["b"]);
  assert.equal(next.journal.settledBefore, undefined);
  await next.journal.close();
});

Deno.test("a changed byte anywhere in what was settled makes the checkpoint damaged", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a"]);
  await journal.ack((await journal.take(1))!);
  await journal.close();
  const text = new TextDecoder().decode(fs.content(PATH));
  await putText(fs, text.replace(/"seq":1/, '"seq":2'));
  assert.equal(await readCheckpoint(fs, DIR), "damaged");
});

Deno.test("a journal that goes to another store forgets what the old one had, and what the cache was worth", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["a", "b"]);
  await journal.ack((await journal.take(1))!);
  await journal.close(true);
  await forgetStore(fs, DIR);
  const next = await open(fs);
  assert.equal(next.journal.settledBefore, undefined);
  assert.equal(next.journal.cacheWasCurrent, false);
  assert.deepEqual(next.recovered.map(({ value }) => value), ["b"]);
  await next.journal.close();
});
