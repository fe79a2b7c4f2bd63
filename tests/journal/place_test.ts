import assert from "node:assert/strict";
import { join } from "node:path";
import { AppError } from "../../src/errors.ts";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import type { Journal, JournalOptions } from "../../src/journal/journal.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import {
  DIR,
  open,
  pushAll,
  segmentPaths,
  settleAll,
  takeAll,
  valuesOf,
} from "../support/journals.ts";

const DATA_DIR = "/data";

interface Told {
  readonly failed: string[];
  readonly faults: string[];
}

/** A journal that is looked after by a clock, and what it told its observer. */
async function openWatched(
  fs: FakeFileSystem,
  clock: FakeClock,
  options: Partial<JournalOptions> = {},
) {
  const told: Told = { failed: [], faults: [] };
  const { journal } = await open(fs, {
    setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
    observer: {
      onFailed: (reason) => told.failed.push(reason),
      onFault: (reason) => told.faults.push(reason),
    },
    ...options,
  });
  return { journal, told };
}

const journalFailed = (error: unknown) =>
  error instanceof AppError && error.code === "journal-failed";

async function refusesWrites(journal: Journal): Promise<void> {
  await assert.rejects(async () => await pushAll(journal, ["refused"]), journalFailed);
}

Deno.test("once the directory is gone no write is accepted, and what was is taken", async () => {
  const fs = new FakeFileSystem();
  const { journal, told } = await openWatched(fs, new FakeClock());
  await pushAll(journal, ["a", "b"]);
  fs.takeAway(DATA_DIR);
  const refused = journal.push({ userId: "u", value: "lost", ts: 1 });
  await assert.rejects(refused.durable, journalFailed);
  await refusesWrites(journal);
  assert.match(
    journal.status().failure!,
    /\/data\/journal\/0000000000000001\.seg is gone.*SIGTERM/,
  );
  assert.equal((await journal.read(journal.run, 2))?.value, "b");
  assert.deepEqual(valuesOf(await takeAll(journal)), ["a", "b"]);
  assert.equal(told.failed.length, 1);
  await journal.close();
});

Deno.test("without a write the loss of the directory is noticed within a second", async () => {
  const cases: [string, (fs: FakeFileSystem) => void][] = [
    ["removed", (fs) => fs.takeAway(DATA_DIR)],
    [
      "the lock alone removed, so that another process could take it",
      (fs) => fs.takeAway(`${DIR}/lock`),
    ],
    ["a segment alone removed", (fs) => fs.takeAway(segmentPaths(fs)[0]!)],
  ];
  for (const [name, lose] of cases) {
    const fs = new FakeFileSystem();
    const clock = new FakeClock();
    const { journal, told } = await openWatched(fs, clock);
    await pushAll(journal, ["a"]);
    await clock.advance(10_000);
    assert.equal(journal.status().failure, undefined, name);
    lose(fs);
    await clock.advance(1_000);
    assert.notEqual(journal.status().failure, undefined, name);
    await refusesWrites(journal);
    await clock.advance(10_000);
    assert.equal(told.failed.length, 1, name);
    assert.deepEqual(valuesOf(await takeAll(journal)), ["a"], name);
    await journal.close();
    assert.equal(clock.timers, 0, name);
  }
});

Deno.test("what an earlier run left can be taken although its files went away before", async () => {
  const fs = new FakeFileSystem();
  const before = await open(fs, { segmentBytes: 5_000 });
  for (const value of ["a", "b", "c"]) await pushAll(before.journal, [value.padEnd(700)]);
  await before.journal.close();
  const { journal } = await openWatched(fs, new FakeClock());
  assert.equal(segmentPaths(fs).length, 3);
  fs.takeAway(DATA_DIR);
  assert.deepEqual(valuesOf(await takeAll(journal)).map((value) => value.trimEnd()), [
    "a",
    "b",
    "c",
  ]);
  await journal.close();
});

Deno.test("a segment that is complete and not stored yet must not go either", async () => {
  const fs = new FakeFileSystem();
  const clock = new FakeClock();
  const { journal } = await openWatched(fs, clock, { segmentBytes: 5_000 });
  for (const value of ["a", "b"]) await pushAll(journal, [value.padEnd(700)]);
  fs.takeAway(segmentPaths(fs)[0]!);
  await clock.advance(1_000);
  assert.match(journal.status().failure!, /0000000000000001\.seg is gone/);
  assert.equal((await takeAll(journal)).length, 2);
  await journal.close();
});

Deno.test("a group under way when the loss is noticed is not acknowledged", async () => {
  const fs = new FakeFileSystem();
  const clock = new FakeClock();
  const { journal } = await openWatched(fs, clock);
  await pushAll(journal, ["a"]);
  const gate = Promise.withResolvers<void>();
  fs.beforeSync = () => gate.promise;
  const underWay = assert.rejects(pushAll(journal, ["b"]), journalFailed);
  await settle();
  // The lock only: the segment that is being written is where it was.
  fs.takeAway(`${DIR}/lock`);
  const waiting = assert.rejects(pushAll(journal, ["c"]), journalFailed);
  await clock.advance(1_000);
  gate.resolve();
  await Promise.all([underWay, waiting]);
  assert.equal(journal.status().depth, 1);
  fs.beforeSync = () => {};
  await journal.close();
});

Deno.test("of a directory that has taken the place nothing is replaced or removed", async () => {
  const other = new FakeFileSystem();
  const theirs = await open(other, { segmentBytes: 5_000 });
  for (const value of ["x", "y"]) await pushAll(theirs.journal, [value.padEnd(700)]);
  await theirs.journal.close();

  const fs = new FakeFileSystem();
  const { journal, told } = await openWatched(fs, new FakeClock(), { segmentBytes: 5_000 });
  for (const value of ["a", "b"]) await pushAll(journal, [value.padEnd(700)]);
  fs.takeAway(DATA_DIR);
  fs.putBack(other.takeAway(DATA_DIR));
  const before = fs.paths().map((path) => [path, fs.content(path).slice()]);
  fs.events.length = 0;
  // Segments of ours have the same names as theirs, and would be removed by now.
  await settleAll(journal);
  assert.equal(journal.status().depth, 0);
  await journal.close();
  assert.deepEqual(fs.paths().map((path) => [path, fs.content(path)]), before);
  assert.deepEqual(fs.events, []);
  assert.deepEqual([told.failed.length, told.faults.length], [1, 0]);
});

Deno.test("a directory put back before the stop knows what was stored meanwhile", async () => {
  const fs = new FakeFileSystem();
  const clock = new FakeClock();
  const { journal } = await openWatched(fs, clock);
  await pushAll(journal, ["a", "b"]);
  const away = fs.takeAway(DATA_DIR);
  await clock.advance(1_000);
  await journal.settle((await journal.take(1))!);
  fs.putBack(away);
  await journal.close();
  const next = await open(fs);
  assert.deepEqual(valuesOf(next.recovered), ["b"]);
  await next.journal.close();
});

Deno.test("on a real disk removed, moved, replaced and covered files are displaced", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const path = join(dir, "a", "file");
    await denoFileSystem.mkdir(join(dir, "a"));
    const file = await denoFileSystem.create(path);
    await file.writeAt(new Uint8Array(10), 0);
    await file.sync();
    assert.equal(file.displaced(), undefined);
    await Deno.rename(join(dir, "a"), join(dir, "b"));
    assert.equal(file.displaced(), `${path} is not there any more`);
    await denoFileSystem.mkdir(join(dir, "a"));
    (await denoFileSystem.create(path)).close();
    assert.equal(file.displaced(), `another file has taken the place of ${path}`);
    await Deno.remove(join(dir, "a"), { recursive: true });
    await Deno.writeTextFile(join(dir, "a"), "a file where the directory was");
    assert.match(file.displaced()!, /file cannot be looked up any more: .*os error/);
    await Deno.remove(join(dir, "a"));
    await Deno.rename(join(dir, "b"), join(dir, "a"));
    assert.equal(file.displaced(), undefined);
    file.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("what is in the way of a directory is named, at once", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const at = (name: string) => join(dir, name);
    await Deno.symlink(at("nowhere"), at("dangling"));
    await Deno.symlink(at("loop"), at("loop"));
    await Deno.writeTextFile(at("file"), "");
    await Deno.symlink(at("file"), at("to-file"));
    await Deno.mkdir(at("real"));
    await Deno.symlink(at("real"), at("good"));
    const cases: [string, RegExp][] = [
      ["dangling", /dangling is a symbolic link to .*nowhere, which is not there$/],
      ["dangling/journal", /dangling is a symbolic link to .*nowhere, which is not there$/],
      ["loop/a/b", /loop is a symbolic link to .*loop, which cannot be followed: Too many levels/],
      ["file", /file is not a directory$/],
      ["file/a/b", /file is not a directory$/],
      ["to-file/a", /to-file is a symbolic link to .*file, which is not a directory$/],
    ];
    for (const [name, reason] of cases) {
      await assert.rejects(denoFileSystem.mkdir(at(name)), reason);
      await assert.rejects(denoFileSystem.list(at(name)), reason);
    }
    await denoFileSystem.mkdir(at("good/a/b"));
    assert.deepEqual(await denoFileSystem.list(at("real/a")), ["b"]);
    assert.deepEqual(await denoFileSystem.list(at("good/none/at/all")), []);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
