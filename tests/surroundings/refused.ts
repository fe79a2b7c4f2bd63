/**
 * Surroundings that the service cannot live in: it says so, in words that name what to change, and
 * so does `--check-config`.
 */
import assert from "node:assert/strict";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import { once, startPostgres, withDatabase } from "../support/postgres.ts";
import { startPgBouncer } from "../support/pgbouncer.ts";
import { type RedisServerOptions, startRedis } from "../support/redis.ts";
import { freePort } from "../support/services.ts";

export interface Refusal {
  readonly name: string;
  readonly how: string;
  /** @returns how it refuses, and a line of what it says */
  run(): Promise<Verdict>;
}

export interface Verdict {
  /** In the table's words: ends with some code, or runs and is not ready. */
  readonly does: string;
  readonly says: string;
}

const LIMIT_MS = 20_000;

async function isFoundByCheck(settings: Environment, why: RegExp): Promise<void> {
  await using checked = Dsproxy.spawn(settings, ["--check-config"]);
  const { code, stdout, log } = await checked.ended();
  assert.deepEqual(
    [code, why.test(stdout + log)],
    [78, true],
    `--check-config says: ${stdout}${log}`,
  );
}

/** @param why what the service has to say, and `--check-config` too */
async function verdictOn(settings: Environment, why: RegExp): Promise<Verdict> {
  await isFoundByCheck(settings, why);
  const port = freePort();
  await using proxy = Dsproxy.spawn({ ...settings, PROXY_PORT: String(port) });
  let ended: number | undefined;
  proxy.process.status.then(({ code }) => ended = code);
  let readiness = "";
  await eventually(`it says ${why}`, async () => {
    readiness = ended === undefined ? await readinessAt(port) : "";
    return ended !== undefined || (readiness.includes("not ok") && why.test(readiness));
  }, LIMIT_MS).catch((cause) => {
    throw new Error(
      `${cause.message}; readiness: ${readiness}; its log: ${proxy.log.slice(-2_000)}`,
      { cause },
    );
  });
  if (ended === undefined) return { does: "runs, and is not ready", says: lineOf(readiness, why) };
  const end = await proxy.ended();
  assert.ok(end.code !== 0 && why.test(end.log), `it ended with ${end.code} and said: ${end.log}`);
  return { does: `ends with ${end.code}`, says: lineOf(end.log, why) };
}

async function readinessAt(port: number): Promise<string> {
  try {
    return await (await fetch(`http://127.0.0.1:${port}/readyz?verbose`)).text();
  } catch (error) {
    if (error instanceof TypeError) return ""; // It does not listen yet, or no longer.
    throw error;
  }
}

function lineOf(text: string, why: RegExp): string {
  return text.split("\n").find((line) => why.test(line))!.trim();
}

async function withDataDir<T>(work: (dataDir: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-refused-" });
  try {
    return await work(`${folder}/data`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** On a database of its own in which `statements` were executed. */
function onTable(why: RegExp, ...statements: readonly string[]): Refusal["run"] {
  return () =>
    withDataDir((dataDir) =>
      withDatabase(async (databaseUrl) => {
        await execute(databaseUrl, ...statements);
        return await verdictOn({ DATA_DIR: dataDir, DATABASE_URL: databaseUrl }, why);
      })
    );
}

async function execute(url: string, ...statements: readonly string[]): Promise<void> {
  await once(url, async (sql) => {
    for (const statement of statements) await sql.unsafe(statement);
  });
}

const statementPooling: Refusal["run"] = () =>
  withDataDir(async (dataDir) => {
    await using server = await startPostgres();
    await using pooler = await startPgBouncer({ databaseUrl: server.url, poolMode: "statement" });
    return await verdictOn({ DATA_DIR: dataDir, DATABASE_URL: pooler.url }, /pool_mode/);
  });

const withoutRights: Refusal["run"] = () =>
  withDataDir(async (dataDir) => {
    await using server = await startPostgres();
    await execute(
      server.url,
      "create table user_data (user_id text, value text, ts bigint)",
      "create role service login password 'secret'",
    );
    const url = new URL(server.url);
    [url.username, url.password] = ["service", "secret"];
    return await verdictOn({ DATA_DIR: dataDir, DATABASE_URL: url.href }, /user_data/);
  });

const anotherStore: Refusal["run"] = () =>
  withDataDir((dataDir) =>
    withDatabase(async (databaseUrl) => {
      await using proxy = await Dsproxy.start({ DATA_DIR: dataDir, DATABASE_URL: databaseUrl });
      await proxy.accept({ user_id: "user", value: "value" }, "?ack=flushed");
      await proxy.stop();
      const verdict = await verdictOn({ DATA_DIR: dataDir }, /belongs to the store/);
      assert.equal(verdict.does, "ends with 78");
      return verdict;
    })
  );

const anotherDatabase: Refusal["run"] = () =>
  withDataDir((dataDir) =>
    withDatabase((one) =>
      withDatabase(async (other) => {
        for (const [url, dir] of [[one, dataDir], [other, `${dataDir}-other`]] as const) {
          await using proxy = await Dsproxy.start({ DATA_DIR: dir, DATABASE_URL: url });
          await proxy.accept({ user_id: "user", value: "value" }, "?ack=flushed");
          await proxy.stop();
        }
        return await verdictOn({ DATA_DIR: dataDir, DATABASE_URL: other }, /belongs to the store/);
      })
    )
  );

const danglingLink: Refusal["run"] = () =>
  withDataDir(async (dataDir) => {
    await Deno.symlink(`${dataDir}-is-not-there`, dataDir);
    return await verdictOn({ DATA_DIR: dataDir }, /symbolic link/);
  });

/** A cache is not needed to live: the service says what is wrong with it, and goes on without. */
function withoutCache(options: RedisServerOptions, why: RegExp): Refusal["run"] {
  return () =>
    withDataDir(async (dataDir) => {
      await using redis = await startRedis(options);
      const settings = { DATA_DIR: dataDir, REDIS_URL: redis.url };
      await isFoundByCheck(settings, why);
      await using proxy = await Dsproxy.start(settings);
      await proxy.accept({ user_id: "user", value: "value" });
      assert.equal((await proxy.read("user")).value, "value");
      await eventually("its log says what is wrong", () =>
        Promise.resolve(why.test(proxy.log)), LIMIT_MS);
      await proxy.stop();
      const { error } = JSON.parse(lineOf(proxy.log, why)) as { error: string };
      return { does: "runs, without a cache", says: error };
    });
}

export const REFUSED: readonly Refusal[] = [
  { name: "PgBouncer, statements", how: "`pool_mode=statement`", run: statementPooling },
  {
    name: "a view as `user_data`",
    how: "`create view user_data`",
    run: onTable(
      /view/,
      "create table records (user_id text, value text, ts bigint)",
      "create view user_data as select * from records",
    ),
  },
  {
    name: "a column of another type",
    how: "`ts timestamptz`",
    run: onTable(
      /user_data\.ts .*bigint/,
      "create table user_data (user_id text, value text, ts timestamptz)",
    ),
  },
  { name: "a role without rights", how: "it may connect, and nothing else", run: withoutRights },
  {
    name: "another kind of store",
    how: "`DATA_DIR` of PostgreSQL, started without `DB_*`",
    run: anotherStore,
  },
  {
    name: "another database",
    how: "`DATA_DIR` of one, `DATABASE_URL` of another",
    run: anotherDatabase,
  },
  { name: "`DATA_DIR` a dangling link", how: "it leads to nothing", run: danglingLink },
  {
    name: "a Redis Cluster",
    how: "`cluster-enabled yes`",
    run: withoutCache({ config: ["cluster-enabled yes"] }, /Redis Cluster, which is not supported/),
  },
  {
    name: "a Redis Sentinel",
    how: "`--sentinel`",
    run: withoutCache({ sentinel: true }, /Sentinel, which is not supported/),
  },
];
