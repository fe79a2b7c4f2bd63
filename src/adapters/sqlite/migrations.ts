/**
 * Makes the schema in SQLite. The tables of our own are migrations with numbers: what a release
 * adds is one more of them, never a change of one that was released. The file is this program's,
 * and nobody waits for its lock: all of them run at each start, and do nothing twice. So a table
 * that somebody dropped is made anew, and a file of the releases that kept no record is taken over
 * as it is.
 */
import type { DatabaseSync } from "node:sqlite";
import { ensureUserData } from "./user_data.ts";

interface Migration {
  readonly version: number;
  readonly statements: readonly string[];
}

const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    statements: [
      `create table if not exists dsproxy_marks (source text primary key, seq integer not null)
       without rowid`,
      `create table if not exists dsproxy_dead_letters (source text not null, id text not null,
       user_id text not null, value text not null, ts integer not null,
       accepted_ms integer not null, instance text not null, seq integer not null,
       code text not null, message text not null, failed_at_ms integer not null,
       attempts integer not null default 1, primary key (source, seq))`,
      "create index if not exists dsproxy_dead_letters_id on dsproxy_dead_letters (id)",
      `create table if not exists dsproxy_store (identity text not null,
       cache_generation text not null)`,
    ],
  },
  {
    version: 2,
    statements: [
      `create table if not exists dsproxy_gone (source text not null, kind text not null,
       seq integer not null, primary key (source, kind, seq)) without rowid`,
    ],
  },
  {
    version: 3,
    statements: [
      `create table if not exists dsproxy_audit_notes (source text not null, kind text not null,
       first integer not null, last integer not null, reason text not null default '',
       noted_at text not null default current_timestamp, primary key (source, kind, first))`,
      // What is there already was brought by a release that noted less.
      `insert into dsproxy_audit_notes (source, kind, first, last)
       select source, 'unknown', 1, seq from dsproxy_marks
       where seq > 0 and not exists (select 1 from dsproxy_migrations where version = 3)`,
    ],
  },
];

/** Brings the schema up to date. It has to be called in a transaction. */
export function migrate(db: DatabaseSync): void {
  ensureUserData(db);
  db.exec(`create table if not exists dsproxy_migrations (version integer primary key,
    applied_at text not null default current_timestamp)`);
  const record = db.prepare("insert or ignore into dsproxy_migrations (version) values (?)");
  for (const { version, statements } of MIGRATIONS) {
    for (const statement of statements) db.exec(statement);
    record.run(version);
  }
}
