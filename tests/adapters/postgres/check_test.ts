import assert from "node:assert/strict";
import pg from "pg";
import { checkPostgres } from "../../../src/adapters/postgres/check.ts";
import { grantApplied, grants } from "../../../src/adapters/postgres/ddl.ts";
import { ensureIndex } from "../../../src/adapters/postgres/latest_index.ts";
import { ensureTables } from "../../../src/adapters/postgres/schema.ts";
import { startPgBouncer } from "../../support/pgbouncer.ts";
import { once, startPostgres, withDatabase } from "../../support/postgres.ts";
import { clientOptions, connectionsTo } from "../../support/postgres_connections.ts";
import { withRole } from "../../support/postgres_roles.ts";
import { startStandby } from "../../support/standby.ts";

const ORIGINAL = "create table user_data (user_id text, value text, ts bigint)";
const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

async function migrate(url: string): Promise<void> {
  await ensureTables(connectionsTo(url));
  await ensureIndex(connectionsTo(url), { pollMs: 50 });
}

/** The findings of a migrated database after `ddl`. */
async function findingsAfter(ddl: string): Promise<readonly string[]> {
  return await withDatabase(async (url) => {
    await migrate(url);
    await execute(url, ddl);
    return (await checkPostgres(connectionsTo(url))).problems;
  });
}

Deno.test("an empty database is well, and as empty after the check as before", () =>
  withDatabase(async (url) => {
    const { problems, notes } = await checkPostgres(connectionsTo(url));
    assert.deepEqual(problems, []);
    assert.match(
      notes.join("\n"),
      /The first start will create user_data, dsproxy_marks, dsproxy_dead_letters, dsproxy_store, dsproxy_leader, dsproxy_lease, dsproxy_gone, dsproxy_audit_notes in the schema public/,
    );
    const tables = await execute(
      url,
      "select 1 from pg_class where relname ~ '^(user_data|dsproxy)'",
    );
    assert.equal(tables.length, 0);
  }));

Deno.test("a migrated database is well, and nothing of the try stays", () =>
  withDatabase(async (url) => {
    await migrate(url);
    const { problems, notes } = await checkPostgres(connectionsTo(url));
    assert.deepEqual([problems, notes.filter((note) => !note.startsWith("fsync"))], [[], []]);
    const [rows] = await execute(
      url,
      "select (select count(*) from user_data) + (select count(*) from dsproxy_marks) + (select " +
        "count(*) from dsproxy_dead_letters) as n",
    );
    assert.equal(Number(rows!.n), 0);
  }));

Deno.test("a table of the original is not touched, and nobody who holds it is waited for", () =>
  withDatabase(async (url) => {
    await execute(url, ORIGINAL);
    const long = new pg.Client(clientOptions(url));
    await long.connect();
    try {
      await long.query("begin; insert into user_data values ('u', 'v', 1)");
      const { problems, notes } = await checkPostgres(connectionsTo(url));
      assert.deepEqual(problems, []);
      assert.match(
        notes.join("\n"),
        /add dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq to public\.user_data/,
      );
      assert.match(
        notes.join("\n"),
        /will run, without holding anybody up: create index concurrently/,
      );
    } finally {
      await long.end();
    }
  }));

const REFUSING: Readonly<Record<string, readonly [string, readonly RegExp[]]>> = {
  "an extra NOT NULL column": [
    "alter table user_data add column tenant int not null",
    [/^The column public\.user_data\.tenant \(integer\) is NOT NULL and has no default/],
  ],
  "a primary key on user_id": [
    "alter table user_data add primary key (user_id)",
    [/^The primary key user_data_pkey allows one row for each user_id in public\.user_data.*keeps every write/],
  ],
  "a unique index on user_id and ts": [
    "create unique index once on user_data (user_id, ts)",
    [/^The unique index once allows one row for each user_id and ts/],
  ],
  "both of them": [
    "alter table user_data add primary key (user_id); alter table user_data add column tenant " +
    "int not null",
    [/tenant \(integer\) is NOT NULL/, /primary key user_data_pkey/],
  ],
  "a unique index on an expression": [
    "create unique index lowered on user_data (lower(user_id))",
    [/^user_data refuses what the service does \(insert\): duplicate key value violates unique constraint "lowered" \(23505\)/],
  ],
  "a trigger that raises": [
    `create function no() returns trigger language plpgsql as $$ begin raise exception
      'not on Sundays'; end $$;
    create trigger no before insert on user_data for each row execute function no()`,
    [/^user_data refuses what the service does \(insert\): not on Sundays \(P0001\)/],
  ],
  "a deferred trigger that raises": [
    `create function no() returns trigger language plpgsql as $$ begin raise exception
      'not at the end'; end $$;
    create constraint trigger no after insert on user_data deferrable initially deferred for each
      row execute function no()`,
    [/^user_data refuses .*not at the end \(P0001\)/],
  ],
  "a trigger that drops rows": [
    `create function drop_it() returns trigger language plpgsql as $$ begin return null; end $$;
    create trigger drop_it before insert on user_data for each row execute function drop_it()`,
    [/goes through, but adds no row: a trigger or a rule drops it/],
  ],
  "a trigger that changes values": [
    `create function shout() returns trigger language plpgsql as $$ begin new.value :=
      upper(new.value); return new; end $$;
    create trigger shout before insert on user_data for each row execute function shout()`,
    [/comes back with another value: a trigger changes it/],
  ],
  "a range of partitions that has ended": [
    `drop table user_data; create table user_data (user_id text, value text, ts bigint,
      dsproxy_accepted_ms bigint not null default 0,
      dsproxy_instance text not null default '', dsproxy_seq bigint not null default 0) partition by
        range (ts);
    create table past partition of user_data for values from (0) to (1000)`,
    [/^user_data refuses .*no partition of relation "user_data" found for row/],
  ],
  "a view": [
    "alter table user_data rename to rows; create view user_data as select user_id, value, ts " +
    "from rows",
    [/^public\.user_data is a view, but a table is needed/],
  ],
  "a wrong type": ["alter table user_data alter ts type int", [
    /user_data\.ts is of type integer, but bigint is needed/,
  ]],
  "an emptied dsproxy_store": ["delete from dsproxy_store", [/^dsproxy_store has lost its row/]],
};

for (const [what, [ddl, messages]] of Object.entries(REFUSING)) {
  Deno.test(`the check names ${what}, and nothing else`, async () => {
    const problems = await findingsAfter(ddl);
    assert.equal(problems.length, messages.length, problems.join("\n"));
    for (const message of messages) {
      assert.ok(problems.some((problem) => message.test(problem)), problems.join("\n"));
    }
  });
}

Deno.test("each right that the role lacks is named, and none once it has them all", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await withRole(url, async (role) => {
      const first = (await checkPostgres(connectionsTo(url, role))).problems;
      assert.match(
        first[0]!,
        new RegExp(
          `^The role ${role.user} has no right to insert on user_data.*grant insert on ` +
            `public\\.user_data`,
        ),
      );
      // What cannot be tried without another right is named when that one is there.
      for (let round = 0, problems = first; problems.length > 0; round++) {
        assert.ok(round < 5, problems.join("\n"));
        for (const problem of problems) {
          await execute(url, /grant [a-z]+ on \S+ to [a-z0-9_]+/.exec(problem)![0]);
        }
        problems = (await checkPostgres(connectionsTo(url, role))).problems;
      }
      const granted = await execute(
        url,
        `select table_name || ' ' || string_agg(lower(privilege_type), ', ' order by privilege_type)
          as rights
        from information_schema.role_table_grants where grantee = '${role.user}' group by table_name
          order by 1`,
      );
      assert.deepEqual(granted.map(({ rights }) => rights), [
        "dsproxy_audit_notes insert, select, update",
        "dsproxy_dead_letters delete, insert, select, update",
        "dsproxy_gone insert, select, update",
        "dsproxy_leader select, update",
        "dsproxy_lease select, update",
        "dsproxy_marks insert, select, update",
        "dsproxy_store select, update",
        "user_data insert, select",
      ]);
    });
  }));

Deno.test("with a broker the check names what workers lack, and nothing else does", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await execute(url, "revoke create on schema public from public");
    await withRole(url, async (role) => {
      for (const statement of grants("public", role.user)) await execute(url, statement);
      const problems = async (hasGroups: boolean) =>
        (await checkPostgres(connectionsTo(url, role), hasGroups)).problems;
      assert.deepEqual(await problems(false), []);
      const [problem, ...others] = await problems(true);
      assert.deepEqual(others, []);
      const statement = /run this: (.*);$/.exec(problem!)![1]!;
      await execute(url, statement);
      assert.deepEqual((await problems(true)).map((text) => /right to ([a-z]+)/.exec(text)![1]), [
        ...["select", "insert", "delete"],
      ]);
      await execute(url, grantApplied("public", role.user));
      assert.deepEqual(await problems(true), []);
    });
  }));

Deno.test("the check names what a role may not migrate", () =>
  withDatabase(async (url) => {
    await execute(url, `revoke create on schema public from public; ${ORIGINAL}`);
    await withRole(url, async (role) => {
      await execute(url, `grant select, insert on user_data to ${role.user}`);
      const { problems } = await checkPostgres(connectionsTo(url, role));
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0]!, /may not create tables in the schema public/);
    });
  }));

Deno.test("the check names row-level security that refuses or hides the rows of the service", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await withRole(url, async (role) => {
      await execute(
        url,
        `alter table user_data enable row level security; grant all on all tables in schema public
          to ${role.user};
        create policy mine on user_data for all to public using (user_id = 'nobody') with check
          (true)`,
      );
      assert.match(
        (await checkPostgres(connectionsTo(url, role))).problems.join("\n"),
        /is not found again: a row-level security policy/,
      );
      await execute(url, "alter policy mine on user_data with check (false)");
      assert.match(
        (await checkPostgres(connectionsTo(url, role))).problems.join("\n"),
        /user_data refuses .*new row violates row-level security policy.*\(42501\)/,
      );
    });
  }));

Deno.test("the check tells that there is a user_data which the search path does not find", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      "create schema app; create table app.user_data (user_id text, value text, ts bigint)",
    );
    assert.match(
      (await checkPostgres(connectionsTo(url))).notes.join("\n"),
      /There is app\.user_data.*new, empty public\.user_data/,
    );
  }));

Deno.test("the check tells that synchronous_commit is off, and that columns are short", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await execute(
      url,
      `alter table user_data alter value type varchar(200);
      do $$ begin execute format('alter database %I set synchronous_commit = off',
        current_database()); end $$`,
    );
    const { problems, notes } = await checkPostgres(connectionsTo(url));
    assert.deepEqual(problems, []);
    assert.match(notes.join("\n"), /synchronous_commit is off/);
    assert.match(notes.join("\n"), /user_data\.value is of type character varying\(200\)/);
  }));

Deno.test("a constraint on contents is no problem: it may have nothing against real rows", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await execute(
      url,
      "create table users (id text primary key); alter table user_data add constraint known " +
        "foreign key (user_id) references users",
    );
    const { problems, notes } = await checkPostgres(connectionsTo(url));
    assert.deepEqual(problems, []);
    assert.match(notes.join("\n"), /The constraint known refuses the row of the check.*\(23503\)/);
  }));

Deno.test("the check names sessions that are read-only", () =>
  withDatabase(async (url) => {
    await execute(
      url,
      "do $$ begin execute format('alter database %I set default_transaction_read_only = on', " +
        "current_database()); end $$",
    );
    assert.match(
      (await checkPostgres(connectionsTo(url))).problems.join("\n"),
      /Sessions of this role are read-only/,
    );
  }));

Deno.test("the check names a standby", async () => {
  await using primary = await startPostgres();
  await using standby = await startStandby(primary);
  assert.match(
    (await checkPostgres(connectionsTo(standby.url))).problems.join("\n"),
    /^The server is a standby/,
  );
});

Deno.test("the check names PgBouncer's statement mode, and is content with transaction mode", () =>
  withDatabase(async (url) => {
    await using statements = await startPgBouncer({ databaseUrl: url, poolMode: "statement" });
    assert.match(
      (await checkPostgres(connectionsTo(statements.url))).problems.join("\n"),
      /^PgBouncer pools statements here/,
    );
    await using transactions = await startPgBouncer({ databaseUrl: url, poolMode: "transaction" });
    assert.deepEqual((await checkPostgres(connectionsTo(transactions.url))).problems, []);
  }));

Deno.test("what the check cannot judge it does not hide", async () => {
  await withDatabase(async (url) => {
    await assert.rejects(checkPostgres(connectionsTo(url, { password: "wrong" })), {
      code: "28P01",
    });
  });
  await assert.rejects(checkPostgres(connectionsTo("postgres://postgres:x@127.0.0.1:1/none")), {
    code: "ECONNREFUSED",
  });
});
