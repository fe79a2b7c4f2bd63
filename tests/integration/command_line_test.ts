import assert from "node:assert/strict";
import { Dsproxy, type Environment } from "../support/dsproxy.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { sharedRedisUrl } from "../support/redis.ts";

async function run(args: readonly string[], settings: Environment = {}) {
  await using proxy = Dsproxy.spawn(settings, args);
  return await proxy.ended();
}

async function withDataDir(work: (dataDir: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-cli-" });
  try {
    await work(`${folder}/data`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("help and version are printed with exit code 0, an unknown flag with 1", async () => {
  const help = await run(["--help"]);
  assert.equal(help.code, 0);
  for (const word of ["--check-config", "PROXY_PORT", "DATABASE_URL", "SHUTDOWN_GRACE", "78"]) {
    assert.ok(help.stdout.includes(word), word);
  }
  assert.match((await run(["--version"])).stdout, /^dsproxy \d+\.\d+\.\d+ \(Deno \d/);
  const unknown = await run(["--verbose"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.log, /--verbose.*--help/);
});

Deno.test("bad configuration ends with 78 and names every problem at once", async () => {
  const { code, log } = await run([], {
    PROXY_PORT: "99999",
    BATCH_INTERVAL: "soon",
    ACK: "maybe",
    DB_PORT: "x",
  });
  assert.equal(code, 78);
  for (const name of ["PROXY_PORT", "BATCH_INTERVAL", "ACK", "DB_PORT"]) {
    assert.match(log, new RegExp(`^ +${name}: `, "m"));
  }
});

Deno.test("secrets are masked in the printed configuration", async () => {
  const { code, stdout } = await run(["--print-config"], {
    DATABASE_URL: "postgres://me:hunter2@db.example/x",
    REDIS_ADDR: "cache.example:6379",
    REDIS_PASS: "hunter3",
  });
  assert.equal(code, 0);
  assert.match(stdout, /DB_HOST +db\.example +\(DATABASE_URL\)/);
  assert.match(stdout, /BATCH_SIZE +50 +\(default\)/);
  assert.doesNotMatch(stdout, /hunter/);
});

Deno.test("checking the configuration says what it found, and leaves nothing behind", () =>
  withDataDir(async (dataDir) => {
    const fresh = await run(["--check-config"], { DATA_DIR: dataDir });
    assert.equal(fresh.code, 0, fresh.log);
    assert.match(fresh.stdout, /journal: not there yet/);
    await assert.rejects(Deno.stat(dataDir), Deno.errors.NotFound);
    await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, BATCH_INTERVAL: "1h" });
    for (let i = 0; i < 3; i++) await proxy.accept({ user_id: `u${i}`, value: "v" });
    const running = await run(["--check-config"], { DATA_DIR: dataDir });
    assert.match(running.stdout, /3 records in 1 segments .*, 3 not in the store; no damage/);
    assert.equal(running.code, 0);
    await proxy.stop();
  }));

Deno.test("--check-config asks the servers, and ends with 78 where one is silent", () =>
  withDataDir(async (dataDir) => {
    const database = await createDatabase();
    try {
      const settings = {
        DATA_DIR: dataDir,
        DATABASE_URL: database.url,
        REDIS_URL: sharedRedisUrl(),
      };
      const good = await run(["--check-config"], settings);
      assert.equal(good.code, 0, good.log);
      assert.match(
        good.stdout,
        /ok +store \(postgres\): will do\n(note .*\n)+ok +cache \(redis\): will do/,
      );
      const bad = await run(["--check-config"], {
        ...settings,
        DATABASE_URL: "postgres://u:p@127.0.0.1:1/x",
        REDIS_ADDR: "",
        REDIS_URL: "redis://127.0.0.1:1",
      });
      assert.equal(bad.code, 78);
      assert.match(bad.log, /failed +store \(postgres\): .*127\.0\.0\.1:1/);
      assert.match(bad.log, /failed +cache \(redis\): .*127\.0\.0\.1:1/);
    } finally {
      await database.drop();
    }
  }));

Deno.test("the printed schema is all that a role without the right to change tables needs", () =>
  withDataDir(async (dataDir) => {
    const database = await createDatabase();
    const role = `Limited ${crypto.randomUUID().slice(0, 8)}`;
    const url = new URL(database.url);
    const settings = {
      DATA_DIR: dataDir,
      DB_HOST: url.hostname,
      DB_PORT: url.port,
      DB_NAME: url.pathname.slice(1),
      DB_USER: role,
      DB_PASS: "pw",
    };
    const runPrinted = async (settings: Environment) => {
      const { code, stdout } = await run(["--print-schema"], settings);
      assert.equal(code, 0);
      await once(database.url, async (sql) => {
        for (const statement of stdout.split(";\n").filter((text) => text.trim() !== "")) {
          await sql.unsafe(statement);
        }
      });
    };
    await once(database.url, (sql) =>
      sql.unsafe(
        `create role "${role}" login password 'pw'; revoke create on schema public from public`,
      ));
    await runPrinted(settings);
    try {
      assert.equal((await run(["--check-config"], settings)).code, 0);
      await using proxy = await Dsproxy.start(settings);
      await proxy.accept({ user_id: "u", value: "v" }, "?ack=flushed");
      assert.equal(await proxy.status("/readyz"), 200);
      await proxy.stop();
      assert.doesNotMatch(proxy.log, /"level":"(warn|error)"/);
      const retaining = { ...settings, RETENTION: "30d" };
      const lacking = /RETENTION will delete nothing.* grant delete, update \(dsproxy_seq\) on/;
      const before = await run(["--check-config"], retaining);
      assert.equal(before.code, 0);
      assert.match(before.stdout + before.log, lacking);
      await runPrinted(retaining);
      const after = await run(["--check-config"], retaining);
      assert.doesNotMatch(after.stdout + after.log, lacking);
    } finally {
      await once(database.url, (sql) => sql.unsafe(`drop owned by "${role}"; drop role "${role}"`));
      await database.drop();
    }
  }));

Deno.test("a port that is taken ends the start with a message that names it", () =>
  withDataDir(async (dataDir) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const port = String((listener.addr as Deno.NetAddr).port);
    try {
      const { code, log } = await run([], { DATA_DIR: dataDir, PROXY_PORT: port });
      assert.equal(code, 1);
      assert.match(log, new RegExp(`127\\.0\\.0\\.1:${port}`));
    } finally {
      listener.close();
    }
  }));
