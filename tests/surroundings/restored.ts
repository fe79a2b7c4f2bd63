/**
 * A database that is dropped and made anew, or replaced by an older copy of itself, under a service
 * that goes on.
 */
import assert from "node:assert/strict";
import { eventually } from "../support/dsproxy.ts";
import { once, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { delay } from "../support/services.ts";
import {
  live,
  READS_FROM_STORE,
  type Scene,
  type Surrounding,
  untilCommitted,
  untilEmpty,
} from "./surrounding.ts";

const DATABASE = "data";

/** On a server of its own, so that a database can be copied; `admin` is another database there. */
function onDatabase(
  happen: (scene: Scene, admin: PostgresServer) => Promise<void>,
): Surrounding["run"] {
  return async (rounds, random) => {
    await using server = await startPostgres();
    await execute(server, `create database ${DATABASE}`);
    const url = new URL(server.url);
    url.pathname = `/${DATABASE}`;
    const settings = { DATABASE_URL: url.href, ...READS_FROM_STORE };
    return await live(
      { databaseUrl: url.href, settings, happen: (scene) => happen(scene, server) },
      rounds,
      random,
    );
  };
}

async function execute({ url }: PostgresServer, ...statements: readonly string[]): Promise<void> {
  await once(url, async (sql) => {
    for (const statement of statements) await sql.unsafe(statement);
  });
}

/**
 * All is stored, and nobody is promised any of it any more. What is written from here on has to
 * outlive what comes.
 */
async function destroying(scene: Scene, destroy: () => Promise<void>): Promise<void> {
  const [proxy] = scene.proxies;
  await scene.load.pause();
  await untilEmpty(proxy!);
  await destroy();
  scene.load.takeBack();
  scene.load.use(proxy!);
}

async function dropAndMakeAnew(scene: Scene, admin: PostgresServer): Promise<void> {
  await destroying(scene, () => execute(admin, `drop database ${DATABASE} with (force)`));
  await delay(scene.random.between(500, 2_000));
  await execute(admin, `create database ${DATABASE}`);
}

async function restore(scene: Scene, admin: PostgresServer): Promise<void> {
  const [proxy] = scene.proxies;
  await execute(
    admin,
    "drop database if exists backup",
    ...whileNobodyIsThere(`create database backup template ${DATABASE}`),
  );
  await untilCommitted(proxy!, 60_000);
  await delay(500);
  const before = wentBack(proxy!.log);
  await destroying(scene, () =>
    execute(
      admin,
      `drop database ${DATABASE} with (force)`,
      `create database ${DATABASE} template backup`,
    ));
  await eventually(
    "it says that the database went back",
    () => Promise.resolve(wentBack(proxy!.log) > before),
  );
  assert.ok(await proxy!.metric("dsproxy_store_went_back_total") > 0);
}

const wentBack = (log: string) => log.split("database went back").length;

/** A database is copied only while no session is in it. */
function whileNobodyIsThere(statement: string): string[] {
  const allow = (yes: boolean) => `alter database ${DATABASE} allow_connections ${yes}`;
  const end =
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${DATABASE}'`;
  return [allow(false), end, statement, allow(true)];
}

export const RESTORED: readonly Surrounding[] = [
  {
    name: "a database dropped and made anew",
    how:
      "`drop database with (force)`, `create database` up to 2 s later; what is written meanwhile is in the new one",
    rounds: { few: 1, many: 4 },
    mayRefuse: "while there is no database",
    run: onDatabase(dropAndMakeAnew),
  },
  {
    name: "an older backup restored",
    how:
      "the database is replaced by a copy made before; a log line and `dsproxy_store_went_back_total` say so",
    rounds: { few: 1, many: 4 },
    mayRefuse: "while there is no database",
    run: onDatabase(restore),
  },
];
