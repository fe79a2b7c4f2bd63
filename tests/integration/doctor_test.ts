/** `dsproxy doctor` beside a running instance, and where next to nothing is there. */
import assert from "node:assert/strict";
import type { Grade } from "../../src/ports/remark.ts";
import { Dsproxy, type Environment } from "../support/dsproxy.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { freePort } from "../support/services.ts";

interface Finding {
  readonly part: string;
  readonly topic: string;
  readonly grade: Grade;
  readonly found: string;
  readonly advice?: string;
}

async function doctor(settings: Environment, ...args: string[]) {
  await using program = Dsproxy.spawn(settings, ["doctor", ...args]);
  return await program.ended();
}

async function findingsOf(settings: Environment) {
  const { code, stdout, log } = await doctor(settings, "--json");
  const { ok, findings } = JSON.parse(stdout || log) as { ok: boolean; findings: Finding[] };
  assert.equal(code, ok ? 0 : 1, stdout);
  const grade = (part: string, topic: string) =>
    findings.find((one) => one.part.startsWith(part) && one.topic === topic)?.grade;
  return { code, stdout, findings, grade };
}

async function namesIn(directory: string): Promise<string[]> {
  const names = [];
  for await (const { name } of Deno.readDir(directory)) names.push(name);
  return names.sort();
}

Deno.test("the doctor tells how all is set up, beside a running instance, and leaves nothing behind", async () => {
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-doctor-" });
  await using redis = await startRedis({
    config: ["maxmemory 8mb", "maxmemory-policy noeviction"],
  });
  try {
    const name = new URL(database.url).pathname.slice(1);
    await once(
      database.url,
      (sql) => sql.unsafe(`alter database "${name}" set synchronous_commit = off`),
    );
    const settings = {
      DATA_DIR: dataDir,
      DATABASE_URL: database.url,
      REDIS_URL: redis.url,
      PROXY_PORT: String(freePort()),
      ADMIN_KEY: "a".repeat(64),
    };
    await using program = await Dsproxy.start(settings);
    await program.accept({ user_id: "u", value: "v" }, "?ack=flushed");
    const before = await namesIn(dataDir);
    const { code, stdout, findings, grade } = await findingsOf(settings);
    assert.equal(code, 0, stdout);
    assert.deepEqual(await namesIn(dataDir), before);
    const expected: [part: string, topic: string, grade: Grade][] = [
      ["instance", "instance", "ok"],
      ["network", "api", "ok"],
      ["network", "admin", "ok"],
      ["process", "open files", "ok"],
      ["disk", "access", "ok"],
      ["data directory", "check", "ok"],
      ["journal", "check", "ok"],
      ["store", "check", "ok"],
      ["store", "server", "ok"],
      ["store", "fsync", "ok"],
      ["store", "synchronous_commit", "note"],
      ["store", "replication", "ok"],
      ["store", "tls", "ok"],
      ["store", "clock", "ok"],
      ["cache", "check", "ok"],
      ["cache", "server", "ok"],
      ["cache", "maxmemory-policy", "risk"],
      ["cache", "persistence", "ok"],
      ["cache", "clock", "ok"],
    ];
    for (const [part, topic, wanted] of expected) {
      assert.equal(grade(part, topic), wanted, `${part}, ${topic}: ${stdout}`);
    }
    for (const topic of ["file system", "disk free", "fsync speed", "memory", "connections"]) {
      assert.ok(findings.some((one) => one.topic === topic), `${topic}: ${stdout}`);
    }
    // Each thing once, though --check-config has a note of it, too.
    assert.equal(stdout.match(/noeviction/g)?.length, 1, stdout);
    assert.equal(stdout.match(/synchronous_commit is off/g)?.length, 1, stdout);
    for (const { grade, advice, topic, found } of findings) {
      if (grade === "risk" || grade === "problem") assert.ok(advice, `${topic}: ${found}`);
    }
    const { password } = new URL(database.url);
    for (const secret of [password, decodeURIComponent(password), "a".repeat(64)]) {
      assert.ok(!stdout.includes(secret), stdout);
    }
    await program.stop();
  } finally {
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("what is not there is a problem with what to do, first on the page, and the exit code is 1", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-doctor-" });
  const [database, redis, http] = [freePort(), freePort(), freePort()];
  try {
    const { code, stdout } = await doctor({
      DATA_DIR: `${folder}/not/there/yet`,
      DATABASE_URL: `postgres://me:zq-secret@127.0.0.1:${database}/x`,
      REDIS_URL: `redis://:zq-secret@127.0.0.1:${redis}`,
      PROXY_HOST: "0.0.0.0",
      PROXY_PORT: String(http),
    });
    assert.equal(code, 1, stdout);
    const [first = "", second = ""] = stdout.split("\n");
    assert.match(first, /^problem +store \(postgres\): .*ECONNREFUSED/);
    assert.match(second, /^ +→ /);
    assert.match(stdout, /^problem +cache \(redis\): .*ECONNREFUSED/m);
    assert.match(stdout, /^risk +network, api: whoever reaches 0\.0\.0\.0/m);
    assert.match(stdout, /^note +instance, instance: no answer/m);
    assert.match(stdout, /^2 problems, /m);
    assert.ok(!stdout.includes("zq-secret"), stdout);
    assert.deepEqual(await namesIn(folder), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an instance that is not ready is a problem", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response("[-] journal: no room\n", { status: 503 }),
  );
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-doctor-" });
  try {
    const { code, findings } = await findingsOf({
      DATA_DIR: folder,
      PROXY_PORT: String(server.addr.port),
    });
    assert.equal(code, 1);
    const found = findings.find(({ topic }) => topic === "instance")!;
    assert.deepEqual([found.grade, /503.*no room/.test(found.found)], ["problem", true]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
