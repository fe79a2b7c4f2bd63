import assert from "node:assert/strict";
import { join } from "node:path";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { once, withDatabase } from "../support/postgres.ts";
import { delay } from "../support/services.ts";

interface Lost {
  readonly proxy: Dsproxy;
  readonly dataDir: string;
  readonly databaseUrl: string;
}

/** An instance that holds what it accepts for an hour, in a folder of its own. */
async function withInstance(work: (lost: Lost) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-lost-" });
  try {
    await withDatabase(async (databaseUrl) => {
      const dataDir = join(folder, "data");
      await using proxy = await Dsproxy.start({
        DATA_DIR: dataDir,
        DATABASE_URL: databaseUrl,
        BATCH_INTERVAL: "1h",
        BATCH_SIZE: "1000",
      });
      await work({ proxy, dataDir, databaseUrl });
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const userIds = (url: string) =>
  once(url, async (sql) => {
    const [table] = await sql`select to_regclass('user_data') as name`;
    if (table!.name === null) return [];
    return (await sql`select user_id from user_data order by dsproxy_seq`).map((row) =>
      String(row.user_id)
    );
  });

async function readiness(proxy: Dsproxy): Promise<string> {
  return await (await fetch(`${proxy.url}/readyz?verbose`)).text();
}

const removeAll = (dataDir: string) => Deno.remove(dataDir, { recursive: true });
const moveAway = (dataDir: string) => Deno.rename(dataDir, `${dataDir}.away`);

const LOSSES: [string, (dataDir: string) => Promise<unknown>][] = [
  ["removed with all that is in it", removeAll],
  ["moved away", moveAway],
  ["replaced by an empty one", async (dataDir) => {
    await moveAway(dataDir);
    await Deno.mkdir(join(dataDir, "journal"), { recursive: true });
  }],
  ["left without the segment that is written", async (dataDir) => {
    const journal = join(dataDir, "journal");
    for await (const { name } of Deno.readDir(journal)) {
      if (name.endsWith(".seg")) await Deno.remove(join(journal, name));
    }
  }],
];

for (const [what, lose] of LOSSES) {
  Deno.test(`DATA_DIR ${what}: not ready within a second, and a stop stores what it accepted`, () =>
    withInstance(async ({ proxy, dataDir, databaseUrl }) => {
      const users = Array.from({ length: 100 }, (_, i) => `u${i}`);
      for (const user_id of users) await proxy.accept({ user_id, value: "v" });
      await lose(dataDir);
      await delay(1_000);
      assert.equal(await proxy.status("/readyz"), 503);
      assert.match(
        await readiness(proxy),
        /journal: .*\/data\/journal.*(not there any more|taken the place).*SIGTERM/,
      );
      const refused = await proxy.write({ user_id: "late", value: "v" });
      assert.equal(refused.status, 503);
      assert.match(await refused.text(), /journal-failed/);
      assert.equal(await proxy.metric("dsproxy_ready"), 0);
      assert.equal(await proxy.metric("dsproxy_journal_failed"), 1);
      assert.equal(await proxy.metric("dsproxy_journal_failures_total"), 1);
      assert.equal((await proxy.read("u7")).value, "v");
      await proxy.stop();
      assert.deepEqual((await userIds(databaseUrl)).sort(), users.sort());
      assert.equal(proxy.log.split("No write is accepted any more").length - 1, 1, proxy.log);
      assert.equal(proxy.log.split("Cannot write the checkpoint").length - 1, 0, proxy.log);
      assert.match(proxy.log, /"leftInJournal":0/);
    }));
}

Deno.test("each write acknowledged while DATA_DIR is removed is stored by the stop", () =>
  withInstance(async ({ proxy, dataDir, databaseUrl }) => {
    const accepted: string[] = [];
    let refusals = 0;
    const client = async (name: string) => {
      for (let i = 0; refusals < 50; i++) {
        const response = await proxy.write({ user_id: `${name}.${i}`, value: "v" });
        await response.body?.cancel();
        if (response.status === 202) accepted.push(`${name}.${i}`);
        else refusals++;
      }
    };
    const clients = Promise.all(["a", "b", "c", "d"].map(client));
    await delay(300);
    await removeAll(dataDir);
    const acceptedBefore = accepted.length;
    await clients;
    // Some were on their way back to the client.
    assert.ok(
      accepted.length - acceptedBefore <= 8,
      `${accepted.length - acceptedBefore} were accepted after it was gone`,
    );
    await proxy.stop();
    assert.deepEqual((await userIds(databaseUrl)).sort(), accepted.sort());
  }));

Deno.test("a lost DATA_DIR is told of once, however many writes are refused", () =>
  withInstance(async ({ proxy, dataDir, databaseUrl }) => {
    for (let i = 0; i < 20; i++) await proxy.accept({ user_id: `u${i}`, value: "v" });
    await removeAll(dataDir);
    await eventually("it is not ready", async () => await proxy.status("/readyz") === 503, 1_500);
    const lines = () => proxy.log.split("\n").length;
    const before = lines();
    for (let i = 0; i < 200; i++) {
      await (await proxy.write({ user_id: "late", value: "v" })).body?.cancel();
    }
    await delay(2_000);
    assert.ok(lines() - before < 10, proxy.log);
    assert.deepEqual(await userIds(databaseUrl), []);
    await proxy.stop();
    assert.equal((await userIds(databaseUrl)).length, 20);
  }));

Deno.test("a DATA_DIR that no directory can be ends the start at once, by name", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-lost-" });
  try {
    const at = (name: string) => join(folder, name);
    await Deno.symlink(at("nowhere"), at("dangling"));
    await Deno.symlink(at("loop"), at("loop"));
    await Deno.writeTextFile(at("file"), "");
    await Deno.mkdir(at("half"));
    await Deno.symlink(at("nowhere"), at("half/journal"));
    const cases: [string, RegExp][] = [
      ["dangling", /dangling is a symbolic link to .*nowhere, which is not there/],
      ["dangling/deeper", /dangling is a symbolic link to .*nowhere, which is not there/],
      ["file", /file is not a directory/],
      ["file/deeper", /file is not a directory/],
      ["loop", /loop is a symbolic link .*cannot be followed/],
      ["half", /half\/journal is a symbolic link to .*nowhere, which is not there/],
    ];
    for (const [name, reason] of cases) {
      const startedMs = performance.now();
      await using proxy = Dsproxy.spawn({ DATA_DIR: at(name) });
      const { code, log } = await proxy.ended();
      assert.equal(code, 1, log);
      assert.match(log, reason);
      assert.doesNotMatch(log, /^\s+at /m, "a message, not a stack");
      assert.ok(performance.now() - startedMs < 20_000);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
