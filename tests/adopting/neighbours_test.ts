import assert from "node:assert/strict";
import { join } from "node:path";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { denoNeighbours, readOnly } from "../../src/disk/neighbours.ts";

async function withFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "dsproxy-neighbours-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("a lock is seen while somebody has it, and asking for it makes nothing", () =>
  withFolder(async (dir) => {
    const path = join(dir, "lock");
    assert.equal(await denoNeighbours.isLocked(path), false);
    assert.deepEqual(await denoFileSystem.list(dir), []);
    const lock = await denoFileSystem.lock(path, 1_000);
    assert.equal(await denoNeighbours.isLocked(path), true);
    lock.close();
    assert.equal(await denoNeighbours.isLocked(path), false);
  }));

Deno.test("an owner gets its lock however often others ask for it", () =>
  withFolder(async (dir) => {
    const path = join(dir, "lock");
    let isOver = false;
    let asked = 0;
    const ask = async () => {
      while (!isOver) {
        await denoNeighbours.isLocked(path);
        asked++;
      }
    };
    const asking = Promise.all([ask(), ask(), ask()]);
    for (let i = 0; i < 50; i++) (await denoFileSystem.lock(path, 2_000)).close();
    isOver = true;
    await asking;
    assert.ok(asked > 50, `asked ${asked} times`);
  }));

Deno.test("only directories are given, in order", () =>
  withFolder(async (dir) => {
    for (const name of ["b", "a"]) await Deno.mkdir(join(dir, name));
    await Deno.writeTextFile(join(dir, "file"), "");
    assert.deepEqual(await denoNeighbours.directories(dir), [join(dir, "a"), join(dir, "b")]);
    await assert.rejects(denoNeighbours.directories(join(dir, "none")), Deno.errors.NotFound);
  }));

Deno.test("what may only be read can be read and synced, and not changed", () =>
  withFolder(async (dir) => {
    const fs = readOnly(denoFileSystem);
    const path = join(dir, "file");
    await Deno.writeTextFile(path, "text");
    const file = await fs.open(path, "read");
    await file.sync();
    assert.equal(await file.size(), 4);
    await assert.rejects(file.writeAt(new Uint8Array(1), 0));
    await assert.rejects(file.truncate(0));
    file.close();
    for (
      const change of [
        () => fs.open(path, "write"),
        () => fs.create(join(dir, "new")),
        () => fs.rename(path, join(dir, "new")),
        () => fs.remove(path),
        () => fs.mkdir(join(dir, "new")),
        () => fs.syncDirectory(dir),
        () => fs.lock(path, 10),
      ]
    ) await assert.rejects(change, /belongs to another instance/);
    assert.deepEqual(await Deno.readTextFile(path), "text");
    assert.deepEqual(await denoFileSystem.list(dir), ["file"]);
  }));
