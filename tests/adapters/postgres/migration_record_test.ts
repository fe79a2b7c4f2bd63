/** The record of the migrations, which is for people: the catalogue says what there is. */
import assert from "node:assert/strict";
import { createOwnTables } from "../../../src/adapters/postgres/migrations.ts";
import { ensureTables } from "../../../src/adapters/postgres/schema.ts";
import { withDatabase } from "../../support/postgres.ts";
import { connectionsTo } from "../../support/postgres_connections.ts";
import { withRole } from "../../support/postgres_roles.ts";
import { execute, migrate, single } from "../../support/postgres_migration.ts";

/** What the releases made that kept no record of their migrations. */
const WITHOUT_RECORD = `create table user_data (user_id text, value text, ts bigint,
    dsproxy_accepted_ms bigint not null default 0,
    dsproxy_instance text collate "C" not null default '', dsproxy_seq bigint not null default 0);
  create index dsproxy_user_data_latest on user_data (user_id, ts desc nulls last,
    dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc);
  create table dsproxy_marks (source text primary key, seq bigint not null,
    updated_at timestamptz not null default now());
  create table dsproxy_dead_letters (source text not null, id text not null,
    user_id text not null, value text not null, ts bigint not null, accepted_ms bigint not null,
    instance text not null, seq bigint not null, code text not null, message text not null,
    failed_at timestamptz not null default now(), attempts int not null default 1,
    primary key (source, seq));
  create index dsproxy_dead_letters_id on dsproxy_dead_letters (id);
  create table dsproxy_store (identity text not null, cache_generation text not null default '',
    index_claimed_at timestamptz not null default 'epoch');
  create unique index dsproxy_store_one_row on dsproxy_store ((true));
  insert into dsproxy_store (identity) values ('as it was');
  insert into dsproxy_marks (source, seq) values ('a/1', 7)`;

const RECORDED = "select array_agg(version order by version)::text from dsproxy_migrations";
/** A later release needs these, too. */
const LATER = ["dsproxy_leader", "dsproxy_lease", "dsproxy_gone", "dsproxy_audit_notes"];
const OTHER_TABLES = `select json_agg(json_build_object('table', table_name, 'column', column_name,
    'type', data_type, 'default', column_default) order by table_name, column_name)::text
  from information_schema.columns
  where table_schema = 'public'
    and table_name not in ('dsproxy_migrations', ${LATER.map((name) => `'${name}'`).join(", ")})`;

Deno.test("what was migrated is recorded with its number, and with when it was first", () =>
  withDatabase(async (url) => {
    await migrate(url);
    assert.equal(await single(url, RECORDED), "{1,2}");
    const before = await single(url, "select applied_at::text from dsproxy_migrations");
    await execute(url, "drop table dsproxy_marks");
    await migrate(url);
    assert.equal(await single(url, "select applied_at::text from dsproxy_migrations"), before);
  }));

Deno.test("a database without a record gets one and what is new, and nothing else is changed", () =>
  withDatabase(async (url) => {
    await execute(url, WITHOUT_RECORD);
    const before = await single<string>(url, OTHER_TABLES);
    await Promise.all(Array.from({ length: 4 }, () => migrate(url)));
    assert.equal(await single(url, RECORDED), "{1,2}");
    assert.equal(await single<string>(url, OTHER_TABLES), before);
    assert.equal(await single(url, "select identity from dsproxy_store"), "as it was");
    assert.equal(await single(url, "select seq::int from dsproxy_marks"), 7);
    const statements: string[] = [];
    await migrate(url, {}, (text) => statements.push(text));
    assert.equal(statements.length, 2, "the next start finds it complete");
  }));

Deno.test("a database without a record is of use where none can be made: no right, read-only", () =>
  withDatabase(async (url) => {
    const later = createOwnTables("public", LATER, "").join("; ");
    await execute(url, `${WITHOUT_RECORD}; ${later}; revoke create on schema public from public`);
    await withRole(url, (role) => migrate(url, role));
    assert.equal(await single(url, "select to_regclass('dsproxy_migrations')::text"), null);
    const readOnly = "alter database %I set default_transaction_read_only = on";
    await execute(
      url,
      `do $$ begin execute format('${readOnly}', current_database()); end $$`,
    );
    await migrate(url);
    assert.equal(await single(url, "select to_regclass('dsproxy_migrations')::text"), null);
  }));

Deno.test("a record that belongs to another role keeps nobody from making what is missing", () =>
  withDatabase(async (url) => {
    await migrate(url);
    await withRole(url, async (role) => {
      await execute(
        url,
        `drop table dsproxy_marks; grant all on schema public to ${role.user};
        grant select on dsproxy_store, user_data to ${role.user}`,
      );
      await ensureTables(connectionsTo(url, role));
      assert.equal(await single(url, "select count(*)::int from dsproxy_marks"), 0);
    });
  }));
