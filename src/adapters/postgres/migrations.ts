/**
 * Has the tables of our own, as migrations with numbers: what a release adds is one more of them,
 * never a change of one that was released. Each leaves tables behind, by which it is known to be
 * there: the record (`dsproxy_migrations`) says what was done and when, for people, but the
 * catalogue says what there is, also where a table was dropped, or hidden, or the role may not read
 * the record. Names of schemas come in quoted where SQL needs it.
 */

/** A row of dsproxy_gone has a bit for each of so many numbers: a kilobyte. */
export const GONE_BLOCK = 8_192;

export interface Migration {
  readonly version: number;
  /** Each table has the statement that creates it; nothing of it is done twice. */
  readonly tables: Readonly<Record<string, (schema: string, identity: string) => string[]>>;
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    tables: {
      dsproxy_marks: (schema) => [
        `create table if not exists ${schema}.dsproxy_marks (source text primary key, ` +
        "seq bigint not null, updated_at timestamptz not null default now())",
      ],
      dsproxy_dead_letters: (schema) => [
        `create table if not exists ${schema}.dsproxy_dead_letters (source text not null, ` +
        "id text not null, user_id text not null, value text not null, ts bigint not null, " +
        "accepted_ms bigint not null, instance text not null, seq bigint not null, code text " +
        "not null, message text not null, failed_at timestamptz not null default now(), " +
        "attempts int not null default 1, primary key (source, seq))",
        "create index if not exists dsproxy_dead_letters_id " +
        `on ${schema}.dsproxy_dead_letters (id)`,
      ],
      dsproxy_store: (schema, identity) => [
        `create table if not exists ${schema}.dsproxy_store (identity text not null, ` +
        "cache_generation text not null default '', index_claimed_at timestamptz not null " +
        "default 'epoch')",
        // The table has one row for ever: a second is refused, and so is a second identity.
        "create unique index if not exists dsproxy_store_one_row " +
        `on ${schema}.dsproxy_store ((true))`,
        `insert into ${schema}.dsproxy_store (identity) select '${identity}' ` +
        `where not exists (select from ${schema}.dsproxy_store)`,
      ],
    },
  },
  {
    version: 2,
    tables: {
      dsproxy_leader: (schema) => [
        `create table if not exists ${schema}.dsproxy_leader (term bigint not null default 0, ` +
        "leader text not null default '', began_at timestamptz not null default now())",
        // As in dsproxy_store: one row for ever.
        "create unique index if not exists dsproxy_leader_one_row " +
        `on ${schema}.dsproxy_leader ((true))`,
        `insert into ${schema}.dsproxy_leader (term) select 0 ` +
        `where not exists (select from ${schema}.dsproxy_leader)`,
      ],
      dsproxy_lease: (schema) => [
        `create table if not exists ${schema}.dsproxy_lease (holder text not null default '', ` +
        "since timestamptz not null default 'epoch', renewed_at timestamptz not null default " +
        "'epoch', life interval not null default '0')",
        "create unique index if not exists dsproxy_lease_one_row " +
        `on ${schema}.dsproxy_lease ((true))`,
        `insert into ${schema}.dsproxy_lease (holder) select '' ` +
        `where not exists (select from ${schema}.dsproxy_lease)`,
      ],
      dsproxy_gone: (schema) => [
        `create table if not exists ${schema}.dsproxy_gone (source text not null, ` +
        `kind text not null, block bigint not null, numbers bit(${GONE_BLOCK}) not null, ` +
        "primary key (source, kind, block))",
      ],
      // What is there already was brought by a release that noted less.
      dsproxy_audit_notes: (schema) => [
        `create table if not exists ${schema}.dsproxy_audit_notes (source text not null, ` +
        "kind text not null, first bigint not null, last bigint not null, reason text not null " +
        "default '', noted_at timestamptz not null default now(), " +
        "primary key (source, kind, first))",
        `insert into ${schema}.dsproxy_audit_notes (source, kind, first, last) ` +
        `select source, 'unknown', 1, seq from ${schema}.dsproxy_marks where seq > 0 ` +
        "on conflict do nothing",
      ],
    },
  },
];

export const RECORD_TABLE = "dsproxy_migrations";

/** Without them nothing can be stored; the record is not among them. */
export const OWN_TABLES: readonly string[] = MIGRATIONS.flatMap(({ tables }) =>
  Object.keys(tables)
);

/**
 * Returns the statements that create the own tables.
 * @param identity of a store made new
 */
export function createOwnTables(
  schema: string,
  missing: readonly string[],
  identity: string,
): string[] {
  return MIGRATIONS.flatMap(({ tables }) =>
    Object.entries(tables)
      .filter(([name]) => missing.includes(name))
      .flatMap(([, create]) => create(schema, identity))
  );
}

/** Notes all migrations as done, each with the time at which it was noted first. */
export function recordMigrations(schema: string): string[] {
  const versions = MIGRATIONS.map(({ version }) => `(${version})`).join(", ");
  return [
    `create table if not exists ${schema}.${RECORD_TABLE} (version int primary key, ` +
    "applied_at timestamptz not null default now())",
    `insert into ${schema}.${RECORD_TABLE} (version) values ${versions} on conflict do nothing`,
  ];
}
