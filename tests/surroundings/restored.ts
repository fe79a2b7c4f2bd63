/**
 * A database that is dropped and made anew, or replaced by an older copy of itself, under a service
 * that goes on.
 */
import { assertNothingBroken, Load } from "../fault/load.ts";
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
 * Destroys what is stored while writes go on, and returns once all of it is there again. Nobody
 * reads meanwhile: until the next flush meets the other database, no one can know that it is one.
 */
async function destroying(scene: Scene, destroy: () => Promise<void>): Promise<void> {
  const [proxy] = scene.proxies;
  await scene.load.pause();
  const writers = new Load({ name: `blind ${crypto.randomUUID()}`, readsBack: false });
  writers.use(proxy!);
  const before = await proxy!.metric("dsproxy_store_went_back_total");
  try {
    await destroy();
    await eventually(
      "it says that the database went back",
      async () => await proxy!.metric("dsproxy_store_went_back_total") > before,
    );
    await untilCommitted(proxy!, 60_000);
  } finally {
    await writers.stop();
  }
  await untilEmpty(proxy!);
  assertNothingBroken(await writers.account(scene.databaseUrl), "writers meanwhile");
  scene.load.use(proxy!);
}

async function dropAndMakeAnew(scene: Scene, admin: PostgresServer): Promise<void> {
  await destroying(scene, async () => {
    await execute(admin, `drop database ${DATABASE} with (force)`);
    await delay(scene.random.between(500, 2_000));
    await execute(admin, `create database ${DATABASE}`);
  });
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
  await destroying(scene, () =>
    execute(
      admin,
      `drop database ${DATABASE} with (force)`,
      `create database ${DATABASE} template backup`,
    ));
}

/** The runs before and after a restart are both in the journal, and both are sent again. */
async function restoreFromBeforeARestart(scene: Scene, admin: PostgresServer): Promise<void> {
  await execute(
    admin,
    "drop database if exists backup",
    ...whileNobodyIsThere(`create database backup template ${DATABASE}`),
  );
  await untilCommitted(scene.proxies[0]!, 60_000);
  await scene.load.pause();
  await scene.restart(0);
  scene.load.use(scene.proxies[0]!);
  await untilCommitted(scene.proxies[0]!, 60_000);
  await delay(500);
  await destroying(scene, () =>
    execute(
      admin,
      `drop database ${DATABASE} with (force)`,
      `create database ${DATABASE} template backup`,
    ));
}

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
    how: "`drop database with (force)`, `create database` up to 2 s later, under writes; " +
      "all of it is there again, once, out of the journal",
    rounds: { few: 1, many: 4 },
    mayRefuse: "while there is no database",
    run: onDatabase(dropAndMakeAnew),
  },
  {
    name: "an older backup restored",
    how: "under writes the database is replaced by a copy made before; what was settled since is " +
      "there again, once; `dsproxy_store_went_back_total` counts it",
    rounds: { few: 1, many: 4 },
    mayRefuse: "while there is no database",
    run: onDatabase(restore),
  },
  {
    name: "a backup restored from before a restart",
    how: "as above, and the service was restarted between the copy and the end of the database",
    rounds: { few: 1, many: 4 },
    mayRefuse: "while there is no database, and during the restart",
    run: onDatabase(restoreFromBeforeARestart),
  },
];
