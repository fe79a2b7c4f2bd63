/** What people do to a PostgreSQL that is in use, and to the table. */
import { once, type PostgresServer, startPostgres, withDatabase } from "../support/postgres.ts";
import type { Random } from "../support/random.ts";
import { delay } from "../support/services.ts";
import { live, type Place, READS_FROM_STORE, type Scene, type Surrounding } from "./surrounding.ts";

type Happen = Place["happen"];

/** On a database of its own. */
function onDatabase(happen: Happen, load: Place["load"] = {}): Surrounding["run"] {
  return (rounds, random) =>
    withDatabase((databaseUrl) =>
      live(
        { databaseUrl, settings: { DATABASE_URL: databaseUrl, ...READS_FROM_STORE }, load, happen },
        rounds,
        random,
      )
    );
}

/** On a server of its own. */
function onServer(
  happen: (server: PostgresServer, scene: Scene) => Promise<void>,
): Surrounding["run"] {
  return async (rounds: number, random: Random) => {
    await using server = await startPostgres();
    const settings = { DATABASE_URL: server.url, ...READS_FROM_STORE };
    return await live(
      {
        databaseUrl: server.url,
        settings,
        happen: (scene) => happen(server, scene),
      },
      rounds,
      random,
    );
  };
}

/** Each in a transaction of its own; what is the operator's own is named so. */
const DDL = [
  "alter table user_data alter value type varchar",
  "alter table user_data alter value type text",
  "alter table user_data add column operator_note text",
  "alter table user_data rename operator_note to operator_remark",
  "alter table user_data drop column operator_remark",
  "alter table user_data add column operator_flag boolean not null default false",
  "alter table user_data drop column operator_flag",
  "create index operator_index on user_data (ts)",
  "drop index operator_index",
  "create index concurrently operator_index on user_data (user_id)",
  "drop index concurrently operator_index",
  "vacuum full user_data",
  "reindex table user_data",
  "analyze user_data",
];

export async function runDdl({ databaseUrl }: Scene): Promise<void> {
  await once(databaseUrl, async (sql) => {
    for (const statement of DDL) {
      await sql.unsafe(statement);
      await delay(20);
    }
  });
}

async function endSessions({ databaseUrl }: Scene): Promise<void> {
  await once(databaseUrl, (sql) =>
    sql`
    select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and
      pid <> pg_backend_pid()`);
}

async function readOnlyForAWhile({ url }: PostgresServer, { random }: Scene): Promise<void> {
  const set = (value: string) =>
    once(url, async (sql) => {
      await sql.unsafe(`alter system set default_transaction_read_only = ${value}`);
      await sql`select pg_reload_conf()`;
    });
  await set("on");
  await delay(random.between(500, 2_000));
  await set("off");
}

export const POSTGRES: readonly Surrounding[] = [
  {
    name: "DDL under load",
    how: "columns added, renamed, dropped, their type changed, indexes made and dropped, " +
      "`vacuum full`, `reindex`",
    rounds: { few: 2, many: 12 },
    run: onDatabase(runDdl, { readers: 16 }),
  },
  {
    name: "sessions are ended",
    how: "`pg_terminate_backend` of all of them",
    rounds: { few: 3, many: 30 },
    run: onDatabase(endSessions),
  },
  {
    name: "`default_transaction_read_only`",
    how: "`alter system`, on for up to 2 s, then off",
    rounds: { few: 2, many: 6 },
    run: onServer(readOnlyForAWhile),
  },
];
