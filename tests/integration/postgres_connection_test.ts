/**
 * The program as operators connect it: by a Unix socket, with a password that changes, through
 * PgBouncer, while the table is worked on.
 */
import assert from "node:assert/strict";
import { Dsproxy, type Environment, eventually } from "../support/dsproxy.ts";
import {
  makeFolder,
  once,
  startPostgres,
  unprivilegedOwner,
  withDatabase,
} from "../support/postgres.ts";
import { startPgBouncer } from "../support/pgbouncer.ts";
import { delay } from "../support/services.ts";

const USERS = 40;
const READERS = 16;

/** Runs the program with a data directory of its own; it must stop in order. */
async function withDsproxy(
  settings: Environment,
  work: (dsproxy: Dsproxy) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_connection_" });
  try {
    await using dsproxy = await Dsproxy.start({
      DATA_DIR: `${folder}/data`,
      BATCH_INTERVAL: "100ms",
      ...settings,
    });
    await work(dsproxy);
    await dsproxy.stop();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a Unix socket is connected to by its folder, with the program's rights", async () => {
  const folder = await makeFolder(await unprivilegedOwner());
  try {
    await using server = await startPostgres({ unix_socket_directories: folder });
    const { password } = new URL(server.url);
    const url =
      `postgresql://postgres:${password}@/postgres?host=${folder}&port=${server.port}&sslmode=verify-full`;
    await withDsproxy({ DATABASE_URL: url }, async (dsproxy) => {
      await dsproxy.accept({ user_id: "ada", value: "hello" }, "?ack=flushed");
      const [found] = await once(server.url, (sql) =>
        sql`select value,
        (select bool_and(client_addr is null) from pg_stat_activity where application_name =
          'dsproxy') as local
        from user_data`);
      assert.deepEqual({ ...found }, { value: "hello", local: true });
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a password that is changed in its file is used without a restart", () =>
  withDatabase(async (url) => {
    const role = `rotated_${crypto.randomUUID().slice(0, 8)}`;
    const file = await Deno.makeTempFile();
    const change = async (password: string) => {
      await once(url, (sql) => sql.unsafe(`alter role ${role} password '${password}'`));
      await Deno.writeTextFile(file, `${password}\n`);
      await once(
        url,
        (sql) =>
          sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`,
      );
    };
    await once(url, (sql) => sql.unsafe(`create role ${role} login superuser`));
    try {
      await change("one");
      const { hostname, port, pathname } = new URL(url);
      const settings = {
        DB_HOST: hostname,
        DB_PORT: port,
        DB_NAME: pathname.slice(1),
        DB_USER: role,
        DB_PASS_FILE: file,
      };
      await withDsproxy(settings, async (dsproxy) => {
        await dsproxy.accept({ user_id: "ada", value: "1" }, "?ack=flushed");
        await change("two");
        assert.equal(
          (await dsproxy.write({ user_id: "ada", value: "2" }, "?ack=flushed")).status,
          201,
        );
        assert.doesNotMatch(dsproxy.log, /"level":"error"/);
      });
    } finally {
      await once(url, (sql) => sql.unsafe(`drop owned by ${role}; drop role ${role}`));
      await Deno.remove(file);
    }
  }));

interface Counts {
  reads: number;
  wrong: number;
  absent: number;
  failed: number;
}

/** Reads of users that are all there, each body checked. */
async function readUntil(dsproxy: Dsproxy, over: Promise<unknown>): Promise<Counts> {
  const counts: Counts = { reads: 0, wrong: 0, absent: 0, failed: 0 };
  let isOver = false;
  const ended = over.finally(() => isOver = true);
  const reader = async () => {
    while (!isOver) {
      const userId = `user${Math.floor(Math.random() * USERS)}`;
      const { status, value } = await dsproxy.read(userId);
      counts.reads++;
      if (status === 404) counts.absent++;
      else if (status !== 200) counts.failed++;
      else if (value !== `value of ${userId}`) counts.wrong++;
    }
  };
  await Promise.all([ended, ...Array.from({ length: READERS }, reader)]);
  return counts;
}

async function changeTable(url: string): Promise<void> {
  await once(url, async (sql) => {
    for (let round = 0; round < 10; round++) {
      for (const type of ["varchar", "text", "varchar(1000)", "text"]) {
        await sql.unsafe(`alter table user_data alter value type ${type}`);
        await delay(25);
      }
    }
  });
}

for (const surroundings of ["direct", "session", "transaction"] as const) {
  Deno.test(`columns change type, and stored users are answered: ${surroundings}`, () =>
    withDatabase(async (url) => {
      await using bouncer = surroundings === "direct" ? undefined : await startPgBouncer({
        databaseUrl: url,
        poolMode: surroundings,
        poolSize: surroundings === "session" ? 10 : 2,
      });
      // Without a cache every read asks the database.
      const settings = { DATABASE_URL: bouncer?.url ?? url, CACHE: "memory", CACHE_LOCAL_MAX: "0" };
      await withDsproxy(settings, async (dsproxy) => {
        for (let i = 0; i < USERS; i++) {
          await dsproxy.accept({ user_id: `user${i}`, value: `value of user${i}` });
        }
        await eventually(
          "all are stored",
          async () => await dsproxy.metric("dsproxy_queue_depth") === 0,
        );
        const { reads, ...others } = await readUntil(dsproxy, changeTable(url));
        assert.deepEqual(others, { wrong: 0, absent: 0, failed: 0 });
        assert.ok(reads > 500, `${reads} reads`);
      });
    }));
}
