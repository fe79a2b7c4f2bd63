import assert from "node:assert/strict";
import {
  changeStore,
  checkStoreBinding,
  openStoreBinding,
  STORE_FILE,
  WrongStoreError,
} from "../../src/guarding/store_binding.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";

const DATA_DIR = "/data";
const PLACE = "database d on h:5432";
const UNREACHED = { kind: "postgres", identity: null, place: null } as const;
const REACHED = { kind: "postgres", identity: "a", place: "p", cacheGeneration: "" } as const;
const PATH = `${DATA_DIR}/${STORE_FILE}`;

function content(fs: FakeFileSystem): unknown {
  return JSON.parse(new TextDecoder().decode(fs.content(PATH)));
}

async function diskWith(text: string): Promise<FakeFileSystem> {
  const fs = new FakeFileSystem();
  await (await fs.create(PATH)).writeAt(new TextEncoder().encode(text), 0);
  return fs;
}

Deno.test("a directory is bound at the first start, to the kind configured then", async () => {
  const fs = new FakeFileSystem();
  assert.equal(await checkStoreBinding(DATA_DIR, "postgres", fs), undefined);
  assert.deepEqual(fs.paths(), []);
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  assert.equal(binding.identity, undefined);
  const disk = fs.afterPowerLoss();
  assert.deepEqual(content(disk), { ...UNREACHED, cacheGeneration: "" });
  await assert.rejects(openStoreBinding(DATA_DIR, "sqlite", disk), (error) => {
    assert.ok(error instanceof WrongStoreError);
    assert.equal(
      error.message,
      "The data directory /data belongs to the store postgres, not to sqlite.",
    );
    assert.deepEqual(error.bound, UNREACHED);
    return true;
  });
  assert.deepEqual(content(disk), { ...UNREACHED, cacheGeneration: "" });
});

Deno.test("the identity reached first is kept; another one elsewhere is refused", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  binding.admit(undefined, PLACE);
  assert.equal(await binding.confirm("first", PLACE), false);
  assert.equal(await binding.confirm("first", PLACE), false);
  assert.equal(fs.count(`rename ${STORE_FILE}`), 2);
  const again = await openStoreBinding(DATA_DIR, "postgres", fs.afterPowerLoss());
  for (const identity of ["second", undefined]) {
    assert.throws(
      () => again.admit(identity, "database d on other:5432"),
      (error) =>
        error instanceof WrongStoreError &&
        /\(database d on h:5432\) with the identity first, not to postgres/.test(error.message),
    );
  }
  assert.equal(again.identity, "first");
});

Deno.test("a store that has moved is the same one; a new one in its place is told", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  await binding.confirm("first", PLACE);
  binding.admit("first", "database d on moved:5432");
  assert.equal(await binding.confirm("first", "database d on moved:5432"), false);
  assert.ok(binding.isAt("database d on moved:5432"));
  for (const identity of ["made anew", undefined]) {
    binding.admit(identity, "database d on moved:5432");
  }
  assert.equal(await binding.confirm("made anew", "database d on moved:5432"), true);
  assert.equal(binding.identity, "made anew");
});

Deno.test("the file of an earlier program, with a cache generation, is read and kept", async () => {
  const fs = await diskWith(
    '{"kind":"postgres","identity":"a","place":"p","cacheGeneration":"g"}\n',
  );
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  assert.deepEqual([binding.identity, binding.isAt("p")], ["a", true]);
  assert.equal(await binding.confirm("a", PLACE), false);
  assert.deepEqual(content(fs.afterPowerLoss()), { ...REACHED, place: PLACE });
});

Deno.test("in a directory that has taken the place of the own one nothing is changed", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  const own = fs.takeAway(DATA_DIR);
  await assert.rejects(
    binding.confirm("a", PLACE),
    /\/data\/store is not what this process left there/,
  );
  assert.deepEqual(fs.paths(), []);
  const other = await diskWith(
    '{"kind":"postgres","identity":"b","place":"p","cacheGeneration":"g"}',
  );
  fs.putBack(other.takeAway(DATA_DIR));
  await assert.rejects(binding.confirm("a", PLACE), /not what this process left/);
  assert.deepEqual(content(fs), {
    kind: "postgres",
    identity: "b",
    place: "p",
    cacheGeneration: "g",
  });
  fs.putBack(own);
  await binding.confirm("a", PLACE);
  assert.equal(binding.identity, "a");
});

Deno.test("a damaged file is an error that says what to do, never a new binding", async () => {
  const damaged = [
    "",
    "{",
    "null",
    "[]",
    "\u0000\u0000\u0000",
    '{"kind":"mysql","identity":null,"place":null,"cacheGeneration":""}',
    '{"kind":"sqlite","identity":7,"place":null,"cacheGeneration":""}',
    '{"kind":"sqlite","identity":"","place":null,"cacheGeneration":""}',
    '{"kind":"sqlite","place":null,"cacheGeneration":""}',
    '{"kind":"sqlite","identity":null,"cacheGeneration":""}',
  ];
  for (const text of damaged) {
    const fs = await diskWith(text);
    await assert.rejects(
      openStoreBinding(DATA_DIR, "sqlite", fs),
      /\/data\/store.*damaged.*--change-store/,
      text,
    );
    assert.equal(new TextDecoder().decode(fs.content(PATH)), text);
    assert.equal(await changeStore(DATA_DIR, "sqlite", fs), "damaged");
    assert.equal((await openStoreBinding(DATA_DIR, "sqlite", fs)).identity, undefined);
  }
});

Deno.test("changing the store forgets the identity, also within one kind", async () => {
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding(DATA_DIR, "postgres", fs);
  await binding.confirm("old", PLACE);
  const before = { kind: "postgres", identity: "old", place: PLACE };
  assert.deepEqual(await changeStore(DATA_DIR, "postgres", fs), before);
  const next = await openStoreBinding(DATA_DIR, "postgres", fs);
  next.admit("new", "elsewhere");
  await next.confirm("new", "elsewhere");
  assert.deepEqual(content(fs.afterPowerLoss()), {
    ...before,
    identity: "new",
    place: "elsewhere",
    cacheGeneration: "",
  });
});
