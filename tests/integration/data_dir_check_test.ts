import assert from "node:assert/strict";
import { join } from "node:path";
import { Dsproxy } from "../support/dsproxy.ts";

async function withFolder(work: (at: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-check-" });
  try {
    await work((name) => join(folder, name));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** All that is in a directory and below, with what tells whether somebody wrote there. */
async function contents(directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    found.push(`${path} ${(await Deno.lstat(path)).size}`);
    if (isDirectory) found.push(...await contents(path));
  }
  return found.sort();
}

async function check(dataDir: string) {
  await using proxy = Dsproxy.spawn({ DATA_DIR: dataDir }, ["--check-config"], {
    unprivileged: true,
  });
  return await proxy.ended();
}

async function fails(dataDir: string, reason: RegExp): Promise<void> {
  const { code, stdout, log } = await check(dataDir);
  assert.equal(code, 78, stdout + log);
  assert.match(log, reason);
}

Deno.test("a directory that is not there yet can be made, or not, by the directory above it", () =>
  withFolder(async (at) => {
    await Deno.mkdir(at("open"));
    await Deno.mkdir(at("shut"));
    await Deno.chmod(at("shut"), 0o555);
    const { code, stdout, log } = await check(at("open/a/b"));
    assert.equal(code, 0, log);
    assert.match(stdout, /ok +data directory: not there yet; it can be made in .*\/open$/m);
    await fails(
      at("shut/a/b"),
      /failed +data directory: Cannot make a directory in .*\/shut: .*ermission denied/,
    );
    assert.deepEqual(
      await contents(at("")),
      [`${at("open")} 4096`, `${at("shut")} 4096`].map(anySize),
    );
  }));

/** The size of a directory differs between file systems. */
function anySize(line: string): string {
  return line.replace(/ \d+$/, ` ${Deno.lstatSync(line.replace(/ \d+$/, "")).size}`);
}

Deno.test("an unwritable DATA_DIR, journal, or file in it is named", () =>
  withFolder(async (at) => {
    await using proxy = await Dsproxy.start({ DATA_DIR: at("data") });
    await proxy.accept({ user_id: "u", value: "v" });
    await proxy.stop();
    const before = await contents(at("data"));
    assert.equal((await check(at("data"))).code, 0);

    await Deno.chmod(at("data"), 0o555);
    await fails(at("data"), /failed +data directory: Cannot write in .*\/data: .*ermission denied/);
    await Deno.chmod(at("data"), 0o755);

    await Deno.chmod(at("data/journal"), 0o555);
    await fails(
      at("data"),
      /ok +data directory: .*\n.*\nfailed +journal: Cannot write in .*\/data\/journal: .*ermission/,
    );
    await Deno.chmod(at("data/journal"), 0o755);

    await Deno.chmod(at("data/journal/lock"), 0o400);
    await fails(at("data"), /failed +journal: Cannot write .*\/journal\/lock: .*ermission denied/);
    await Deno.chmod(at("data/journal/lock"), 0o644);

    assert.equal((await check(at("data"))).code, 0);
    assert.deepEqual(await contents(at("data")), before);
  }));

Deno.test("what is no directory is named, at DATA_DIR and at its journal", () =>
  withFolder(async (at) => {
    await Deno.writeTextFile(at("file"), "");
    await Deno.symlink(at("nowhere"), at("dangling"));
    await Deno.mkdir(at("half"));
    await Deno.symlink(at("nowhere"), at("half/journal"));
    const before = await contents(at(""));
    await fails(at("file"), /failed +data directory: .*\/file is not a directory/);
    await fails(at("file/deeper"), /failed +data directory: .*\/file is not a directory/);
    await fails(
      at("dangling"),
      /failed +data directory: .*dangling is a symbolic link to .*which is not there/,
    );
    await fails(
      at("half"),
      /failed +journal: .*half\/journal is a symbolic link to .*which is not there/,
    );
    assert.deepEqual(await contents(at("")), before);
  }));

Deno.test("beside a running instance nothing is disturbed", () =>
  withFolder(async (at) => {
    await using proxy = await Dsproxy.start({ DATA_DIR: at("data"), BATCH_INTERVAL: "50ms" });
    const written = (async () => {
      for (let i = 0; i < 300; i++) await proxy.accept({ user_id: `u${i}`, value: "v" });
    })();
    const { code, stdout, log } = await check(at("data"));
    assert.equal(code, 0, stdout + log);
    await written;
    assert.equal(await proxy.status("/readyz"), 200);
    await proxy.stop();
  }));
