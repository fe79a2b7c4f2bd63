import assert from "node:assert/strict";
import {
  CACHE_NOTE_FILE,
  type CacheWord,
  discardCacheNote,
  openCacheNote,
} from "../../src/reading/cache_note.ts";
import { replaceFile } from "../../src/disk/small_file.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";

const DATA_DIR = "/data";
const IDENTITY = { id: "store-1", cacheGeneration: "7" };
const CURRENT: CacheWord = { current: true, identity: IDENTITY };

async function disk(): Promise<FakeFileSystem> {
  const fs = new FakeFileSystem();
  await fs.mkdir();
  return fs;
}

Deno.test("a fresh directory is current, an old one without a note is not", async () => {
  assert.equal((await openCacheNote(await disk(), DATA_DIR, true)).found.current, true);
  assert.equal((await openCacheNote(await disk(), DATA_DIR, false)).found.current, false);
});

Deno.test("what a run said at its end is found by the next one, and by no other", async () => {
  const fs = await disk();
  await (await openCacheNote(fs, DATA_DIR, true)).close(CURRENT);
  assert.deepEqual((await openCacheNote(fs, DATA_DIR, false)).found, CURRENT);
  assert.deepEqual((await openCacheNote(fs, DATA_DIR, false)).found, {
    current: false,
    identity: IDENTITY,
  });
});

Deno.test("a run that loses power after it was opened is not current, even the first", async () => {
  const fs = await disk();
  await openCacheNote(fs, DATA_DIR, true);
  const afterFirst = fs.afterPowerLoss();
  assert.equal((await openCacheNote(afterFirst, DATA_DIR, true)).found.current, false);

  await (await openCacheNote(fs, DATA_DIR, false)).close(CURRENT);
  await openCacheNote(fs, DATA_DIR, false);
  assert.equal((await openCacheNote(fs.afterPowerLoss(), DATA_DIR, false)).found.current, false);
});

Deno.test("the word of an orderly end survives a power loss", async () => {
  const fs = await disk();
  await (await openCacheNote(fs, DATA_DIR, true)).close(CURRENT);
  assert.deepEqual((await openCacheNote(fs.afterPowerLoss(), DATA_DIR, false)).found, CURRENT);
});

Deno.test("a start after a crash does not write what the note says already", async () => {
  const fs = await disk();
  await openCacheNote(fs, DATA_DIR, false);
  const { length } = fs.events;
  await openCacheNote(fs, DATA_DIR, false);
  assert.equal(fs.events.length, length);
});

Deno.test("after the directory was given another store nothing is known of the cache", async () => {
  const fs = await disk();
  await (await openCacheNote(fs, DATA_DIR, true)).close(CURRENT);
  await discardCacheNote(fs, DATA_DIR);
  assert.deepEqual((await openCacheNote(fs.afterPowerLoss(), DATA_DIR, true)).found, {
    current: false,
    identity: undefined,
  });
});

for (const text of ["", "{", "null", "[]", '"current"', '{"current":"yes"}', "\0\0\0"]) {
  Deno.test(`a note that holds ${JSON.stringify(text)} is not current`, async () => {
    const fs = await disk();
    await replaceFile(fs, DATA_DIR, CACHE_NOTE_FILE, text);
    const { found } = await openCacheNote(fs, DATA_DIR, true);
    assert.deepEqual(found, { current: false, identity: undefined });
  });
}
