import assert from "node:assert/strict";
import { changeStore, checkStoreBinding, openStoreBinding, STORE_FILE, WrongStoreError } from "../src/store_binding.ts";
import { FakeFileSystem } from "./support/fake_file_system.ts";

const DATA_DIR = "/data";
const PATH = `${DATA_DIR}/${STORE_FILE}`;

function content(fs: FakeFileSystem): unknown {
  return JSON.parse(new TextDecoder().decode(fs.content(PATH)));
}

async function diskWith(text: string): Promise<FakeFileSystem> {
  const fs = new FakeFileSystem();
  await (await fs.create(PATH)).writeAt(new TextEncoder().encode(text), 0);
  return fs;
}

Deno.test("a directory is bound at the first start, durably, and only to the kind that is configured then", async () => {
  const fs = new FakeFileSystem();
  assert.equal(await checkStoreBinding(DATA_DIR, "postgres", fs), undefined);
  assert.deepEqual(fs.paths(), []);
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  assert.equal(binding.identity, undefined);
  const disk = fs.afterPowerLoss();
  assert.deepEqual(content(disk), { kind: "postgres", identity: null, cacheGeneration: 0 });
  await assert.rejects(openStoreBinding(DATA_DIR, "sqlite", disk), (error) => {
    assert.ok(error instanceof WrongStoreError);
    assert.equal(error.message, "The data directory /data belongs to the store postgres, not to sqlite.");
    assert.deepEqual(error.bound, { kind: "postgres", identity: null, cacheGeneration: 0 });
    return true;
  });
  assert.deepEqual(content(disk), { kind: "postgres", identity: null, cacheGeneration: 0 });
});

Deno.test("the identity of the store that is reached first is kept, and another one refused", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  await binding.confirm("first");
  await binding.confirm("first");
  assert.equal(fs.count(`rename ${STORE_FILE}`), 2);
  const disk = fs.afterPowerLoss();
  const again = await openStoreBinding(DATA_DIR, "postgres", disk);
  assert.equal(again.identity, "first");
  await assert.rejects(
    again.confirm("second"),
    (error) => error instanceof WrongStoreError && /identity first, not to .*identity second/.test(error.message),
  );
  assert.equal(again.identity, "first");
});

Deno.test("the highest cache generation is kept, beside an identity that is learned at the same time", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  await Promise.all([binding.noteCacheGeneration(3), binding.confirm("a"), binding.noteCacheGeneration(2)]);
  assert.equal(binding.cacheGeneration, 3);
  const disk = fs.afterPowerLoss();
  assert.deepEqual(content(disk), { kind: "postgres", identity: "a", cacheGeneration: 3 });
});

Deno.test("in a directory that has taken the place of the own one nothing is changed", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  const own = fs.takeAway(DATA_DIR);
  await assert.rejects(binding.confirm("a"), /\/data\/store is not what this process left there/);
  assert.deepEqual(fs.paths(), []);
  const other = await diskWith('{"kind":"postgres","identity":"b","cacheGeneration":7}');
  fs.putBack(other.takeAway(DATA_DIR));
  await assert.rejects(binding.confirm("a"), /not what this process left/);
  assert.deepEqual(content(fs), { kind: "postgres", identity: "b", cacheGeneration: 7 });
  fs.putBack(own);
  await binding.confirm("a");
  assert.equal(binding.identity, "a");
});

Deno.test("a damaged file is an error that says what to do, never a new binding", async () => {
  const damaged = [
    "",
    "{",
    "null",
    "[]",
    "\u0000\u0000\u0000",
    '{"kind":"mysql","identity":null,"cacheGeneration":0}',
    '{"kind":"sqlite","identity":7,"cacheGeneration":0}',
    '{"kind":"sqlite","identity":"","cacheGeneration":0}',
    '{"kind":"sqlite","cacheGeneration":0}',
    '{"kind":"sqlite","identity":null,"cacheGeneration":-1}',
    '{"kind":"sqlite","identity":null}',
  ];
  for (const text of damaged) {
    const fs = await diskWith(text);
    await assert.rejects(openStoreBinding(DATA_DIR, "sqlite", fs), /\/data\/store.*damaged.*--change-store/, text);
    assert.equal(new TextDecoder().decode(fs.content(PATH)), text);
    assert.equal(await changeStore(DATA_DIR, "sqlite", fs), "damaged");
    assert.equal((await openStoreBinding(DATA_DIR, "sqlite", fs)).identity, undefined);
  }
});

Deno.test("changing the store forgets the identity, also from one database to another of the same kind", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  await binding.confirm("old");
  await binding.noteCacheGeneration(4);
  const before = { kind: "postgres", identity: "old", cacheGeneration: 4 };
  assert.deepEqual(await changeStore(DATA_DIR, "postgres", fs), before);
  const next = await openStoreBinding(DATA_DIR, "postgres", fs);
  await next.confirm("new");
  assert.deepEqual(content(fs.afterPowerLoss()), { kind: "postgres", identity: "new", cacheGeneration: 0 });
});
