/**
 * Tables that refuse rows, one or all of them, and tables that are not as the service would have
 * made them.
 */
import assert from "node:assert/strict";
import { once, startPostgres, withDatabase } from "../support/postgres.ts";
import { delay } from "../support/services.ts";
import {
  live,
  type Place,
  READS_FROM_STORE,
  type Scene,
  type Surrounding,
  untilNotReady,
  untilReady,
} from "./surrounding.ts";

/** As the original made it; what is extended in place. */
const ORIGINAL = "create table user_data (user_id text, value text, ts bigint)";

/** On a database of its own, in which `prepared` is executed before the service starts. */
function onTable(
  prepared: string,
  happen: Place["happen"],
  load: Place["load"] = {},
): Surrounding["run"] {
  return (rounds, random) =>
    withDatabase((databaseUrl) =>
      live(
        {
          databaseUrl,
          settings: { DATABASE_URL: databaseUrl, ...READS_FROM_STORE },
          load,
          prepare: () => execute(databaseUrl, prepared),
          happen,
        },
        rounds,
        random,
      )
    );
}

/**
 * The statements, one after the other, each in a transaction of its own; they are separated by
 * lines.
 */
async function execute(url: string, statements: string): Promise<void> {
  await once(url, async (sql) => {
    for (const statement of statements.split(";\n")) await sql.unsafe(statement);
  });
}

/** Several writes that the database refuses for good, among those of the load. */
async function writeRefused(scene: Scene, userId: string, value: () => string): Promise<void> {
  const [proxy] = scene.proxies;
  for (let i = 0; i < 3; i++) {
    await proxy!.accept({ user_id: userId, value: value() });
    scene.deadMeant++;
    await delay(scene.random.between(0, 100));
  }
}

/** For a while the table refuses everything: nothing is dead then, and it says so. */
async function refuseAll(scene: Scene, refuse: string, mend: string, why: RegExp): Promise<void> {
  const [proxy] = scene.proxies;
  await execute(scene.databaseUrl, refuse);
  await untilNotReady(proxy!, why);
  await delay(500);
  await execute(scene.databaseUrl, mend);
  await untilReady(proxy!);
}

const raisesFor = (condition: string) =>
  `create or replace function complain() returns trigger language plpgsql as
    $$ begin if ${condition} then raise exception 'not this one'; end if; return new; end $$`;
const COMPLAINS = `${ORIGINAL};
${raisesFor("new.user_id = 'refused'")};
create trigger complain before insert on user_data for each row execute function complain()`;

const uniqueValue = () => `refused ${crypto.randomUUID()}`;
/** Too large for an index entry, and of no use to a compressor. */
const hugeValue = () => Array.from({ length: 800 }, () => crypto.randomUUID()).join("");

const rowLevelSecurity: Surrounding["run"] = async (rounds, random) => {
  await using server = await startPostgres();
  await execute(
    server.url,
    `create role service login password 'secret';
create table user_data (user_id text, value text, ts bigint);
alter table user_data owner to service;
grant all on schema public to service;
alter table user_data enable row level security;
alter table user_data force row level security;
create policy all_are_read on user_data for select using (true);
create policy one_is_not_written on user_data for insert with check (user_id <> 'refused')`,
  );
  const url = new URL(server.url);
  [url.username, url.password] = ["service", "secret"];
  return await live(
    {
      databaseUrl: url.href,
      settings: { DATABASE_URL: url.href, ...READS_FROM_STORE },
      happen: (scene) => writeRefused(scene, "refused", uniqueValue),
    },
    rounds,
    random,
  );
};

async function writeAUserTwice(scene: Scene): Promise<void> {
  const [proxy] = scene.proxies;
  const user = crypto.randomUUID();
  await proxy!.accept({ user_id: user, value: `${user} first` }, "?ack=flushed");
  await proxy!.accept({ user_id: user, value: `${user} second` });
  scene.deadMeant++;
  await delay(scene.random.between(0, 200));
}

const inAnotherSchema: Surrounding["run"] = (rounds, random) =>
  withDatabase(async (databaseUrl) => {
    const { pathname } = new URL(databaseUrl);
    const counts = await live(
      {
        databaseUrl,
        settings: { DATABASE_URL: databaseUrl, ...READS_FROM_STORE },
        prepare: () =>
          execute(
            databaseUrl,
            `create schema nearer;
create schema farther;
create table farther.user_data (user_id text, value text, ts bigint);
insert into farther.user_data values ('old', 'as it was', 1);
alter database ${pathname.slice(1)} set search_path = nearer, farther`,
          ),
        happen: async ({ proxies }) => {
          assert.equal((await proxies[0]!.read("old")).value, "as it was");
          await delay(500);
        },
      },
      rounds,
      random,
    );
    const tables = await once(
      databaseUrl,
      (sql) =>
        sql<{ nspname: string }[]>`
        select nspname from pg_class join pg_namespace n on n.oid = relnamespace where relname =
          'user_data'`,
    );
    assert.deepEqual(
      tables.map(({ nspname }) => nspname),
      ["farther"],
      "schemas with a table user_data",
    );
    return counts;
  });

const PARTITIONED =
  `create table user_data (user_id text, value text, ts bigint) partition by hash (user_id);
create table user_data_0 partition of user_data for values with (modulus 2, remainder 0);
create table user_data_1 partition of user_data for values with (modulus 2, remainder 1)`;

export const ROWS: readonly Surrounding[] = [
  {
    name: "a trigger that raises for one user",
    how: "`raise exception` (P0001) before insert",
    rounds: { few: 2, many: 20 },
    run: onTable(COMPLAINS, (scene) => writeRefused(scene, "refused", uniqueValue)),
  },
  {
    name: "a trigger that raises for everybody",
    how: "the same, until it is mended; it says that it is not ready, and keeps the rows",
    rounds: { few: 1, many: 4 },
    run: onTable(
      COMPLAINS,
      (scene) =>
        refuseAll(
          scene,
          raisesFor("true"),
          raisesFor("new.user_id = 'refused'"),
          /raised an exception \(P0001\)/,
        ),
    ),
  },
  {
    name: "row-level security",
    how: "a policy that refuses one user (42501)",
    rounds: { few: 2, many: 20 },
    run: rowLevelSecurity,
  },
  {
    name: "an index on `(user_id, value)`",
    how: "and values too large for it (54000)",
    rounds: { few: 2, many: 20 },
    run: onTable(
      `${ORIGINAL};\ncreate index on user_data (user_id, value)`,
      (scene) => writeRefused(scene, "refused", hugeValue),
    ),
  },
  {
    name: "a further column `not null`",
    how: "without a default, until it is dropped; it says that it is not ready, and keeps the rows",
    rounds: { few: 1, many: 4 },
    run: onTable(ORIGINAL, (scene) =>
      refuseAll(
        scene,
        "alter table user_data add column tenant text not null default ''; alter table " +
          "user_data alter tenant drop default",
        "alter table user_data drop column tenant",
        /tenant/,
      )),
  },
  {
    name: "a primary key on `user_id`",
    how: "every user is written once, some twice",
    rounds: { few: 3, many: 30 },
    run: onTable(
      "create table user_data (user_id text primary key, value text, ts bigint)",
      writeAUserTwice,
      {
        usersPerWriter: 10_000,
      },
    ),
  },
  {
    name: "a partitioned table",
    how: "`partition by hash (user_id)`",
    rounds: { few: 1, many: 10 },
    run: onTable(PARTITIONED, () => delay(500)),
  },
  {
    name: "a table in another schema",
    how: "`user_data` is in the second schema of the `search_path`, with a row",
    rounds: { few: 1, many: 10 },
    run: inAnotherSchema,
  },
];
