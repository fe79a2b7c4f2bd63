/**
 * Every answer is checked while the surroundings change under the store: a wrong one is worse than
 * an error.
 */
import assert from "node:assert/strict";
import type { DatabaseOptions } from "../../../src/adapters/postgres/database.ts";
import { createPostgresStore } from "../../../src/adapters/postgres/store.ts";
import { CheckedLoad, type Counts } from "../../support/checked_load.ts";
import { once, withDatabase } from "../../support/postgres.ts";
import { startPgBouncer } from "../../support/pgbouncer.ts";
import { postgresOptions } from "../../support/postgres_options.ts";
import { delay } from "../../support/services.ts";

const DDL = [
  "alter table user_data alter value type varchar",
  "alter table user_data alter value type text",
  "alter table user_data alter value type varchar(100000)",
  "alter table user_data alter value type text",
  "alter table user_data alter ts type bigint using ts + 0",
  "alter table user_data add column if not exists more int; alter table user_data drop column more",
];

const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

async function withLoad<T>(
  options: DatabaseOptions,
  work: (load: CheckedLoad) => Promise<T>,
  source?: string,
): Promise<T> {
  const { store } = createPostgresStore(options);
  try {
    const load = new CheckedLoad(store, source);
    await load.fill();
    return await work(load);
  } finally {
    await store.close();
  }
}

function assertRight(counts: Counts, leastReads = 200): void {
  const { wrong, absent, reads, puts } = counts;
  assert.deepEqual({ wrong, absent }, { wrong: 0, absent: 0 }, seen(counts));
  assert.ok(reads >= leastReads && puts > 1, seen(counts));
}

function assertNoErrors(counts: Counts): void {
  assert.deepEqual([...counts.errors], [], seen(counts));
}

function seen({ errors, ...counts }: Counts): string {
  return `${JSON.stringify(counts)} ${[...errors].join("; ")}`;
}

async function changeTable(url: string, rounds: number): Promise<void> {
  await once(url, async (sql) => {
    for (let round = 0; round < rounds; round++) {
      for (const text of DDL) {
        await sql.unsafe(text);
        await delay(20);
      }
    }
  });
}

Deno.test("columns change type under readers and a writer: every answer is right, none fails", () =>
  withDatabase((url) =>
    withLoad(postgresOptions(url, { poolSize: 8 }), async (load) => {
      const counts = await load.during(() => changeTable(url, 8));
      assertRight(counts);
      assertNoErrors(counts);
    })
  ));

Deno.test("nobody is absent while a table is rewritten, whatever transactions see", () =>
  withDatabase(async (url) => {
    for (const level of ["repeatable read", "serializable"]) {
      await execute(
        url,
        "do $$ begin execute format('alter database %I set default_transaction_isolation = " +
          `''${level}''', current_database()); end $$`,
      );
      await withLoad(postgresOptions(url, { poolSize: 8 }), async (load) => {
        const counts = await load.during(() => changeTable(url, 5));
        assertRight(counts);
        assertNoErrors(counts);
      }, `checked/${level}`);
    }
  }));

Deno.test("sessions are discarded and ended: answers are right, or there are none", () =>
  withDatabase((url) =>
    withLoad(postgresOptions(url, { poolSize: 8 }), async (load) => {
      const counts = await load.during(() =>
        once(url, async (sql) => {
          for (let round = 0; round < 30; round++) {
            await sql.unsafe("discard all");
            await sql.unsafe(
              `select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and application_name = 'dsproxy' order by random()
                limit 3`,
            );
            await delay(50);
          }
        })
      );
      assertRight(counts);
      assert.ok(counts.failed < counts.reads / 50, seen(counts));
    })
  ));

for (const poolMode of ["session", "transaction"] as const) {
  Deno.test(`columns change type behind PgBouncer in ${poolMode} mode: all answers are right`, () =>
    withDatabase(async (url) => {
      // In session mode every connection of a client keeps one of PgBouncer's; in transaction mode
      // all share two.
      const poolSize = poolMode === "session" ? 20 : 2;
      await using bouncer = await startPgBouncer({ databaseUrl: url, poolMode, poolSize });
      const options = postgresOptions(bouncer.url, { poolSize: 8 });
      await withLoad(options, (first) =>
        withLoad(options, async (second) => {
          const work = Promise.withResolvers<void>();
          const others = second.during(() => work.promise);
          const counts = await first.during(async () => {
            try {
              await Promise.all([changeTable(url, 5), discardAll(bouncer.url, 20)]);
            } finally {
              work.resolve();
            }
          });
          for (const each of [counts, await others]) {
            assertRight(each);
            assertNoErrors(each);
          }
        }, "checked/2"));
    }));
}

/**
 * Another client of the pooler, which shares the server's sessions with the store in transaction
 * mode.
 */
async function discardAll(url: string, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await execute(url, "discard all");
    await delay(20);
  }
}

Deno.test("nothing that the store sets is left in a session that PgBouncer gives to others", () =>
  withDatabase(async (url) => {
    await using bouncer = await startPgBouncer({
      databaseUrl: url,
      poolMode: "transaction",
      poolSize: 1,
    });
    const settings = [
      "statement_timeout",
      "lock_timeout",
      "idle_in_transaction_session_timeout",
      "synchronous_commit",
    ];
    const show = () =>
      execute(
        bouncer.url,
        `select ${
          settings.map((name) => `current_setting('${name}')`).join(" || ' ' || ")
        } as found`,
      );
    const [before] = await show();
    await withLoad(postgresOptions(bouncer.url), async (load) => {
      assertNoErrors(await load.during(() => delay(200)));
      const [after] = await show();
      assert.deepEqual(after, before);
      const [prepared] = await execute(
        bouncer.url,
        "select count(*)::int as n from pg_prepared_statements",
      );
      assert.equal(prepared!.n, 0);
    });
  }));

Deno.test("PgBouncer in statement mode is refused at the start, with its setting's name", () =>
  withDatabase(async (url) => {
    await using bouncer = await startPgBouncer({ databaseUrl: url, poolMode: "statement" });
    for (const where of [bouncer.url, url, bouncer.url]) {
      // Also where the schema is there already.
      const { store } = createPostgresStore(postgresOptions(where));
      try {
        if (where === url) await store.open("statement/1");
        else {await assert.rejects(store.open("statement/1"), {
            name: "StoreRefusesError",
            message: /pool_mode/,
          });}
      } finally {
        await store.close();
      }
    }
  }));

Deno.test("PgBouncer is restarted under load: answers are right or none, and then come again", () =>
  withDatabase(async (url) => {
    await using bouncer = await startPgBouncer({ databaseUrl: url, poolMode: "transaction" });
    await withLoad(postgresOptions(bouncer.url, { poolSize: 8 }), async (load) => {
      const counts = await load.during(async () => {
        for (let round = 0; round < 3; round++) {
          await delay(200);
          await bouncer.kill();
          await bouncer.start();
          await delay(1_000);
        }
      });
      assertRight(counts);
      assert.ok(counts.puts > 5, seen(counts));
    });
  }));
