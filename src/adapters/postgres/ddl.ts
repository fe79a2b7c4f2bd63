/**
 * What dsProxy has in a database, as statements. Names of schemas, tables and roles come in quoted
 * where they need it.
 */

/**
 * A B-tree entry has no room for more: a row of somebody else with a longer user_id stays outside
 * the index.
 */
export const INDEXED_KEY_BYTES = 1024;

/**
 * The columns of the original, and those added to them: every one with a default, so that others'
 * INSERTs go on.
 */
export const COLUMNS = [
  { name: "user_id", type: "text", added: undefined },
  { name: "value", type: "text", added: undefined },
  { name: "ts", type: "bigint", added: undefined },
  { name: "dsproxy_accepted_ms", type: "bigint", added: "bigint not null default 0" },
  { name: "dsproxy_instance", type: "text", added: `text collate "C" not null default ''` },
  { name: "dsproxy_seq", type: "bigint", added: "bigint not null default 0" },
] as const;

export const OWN_TABLES = ["dsproxy_marks", "dsproxy_dead_letters", "dsproxy_store"] as const;

export const INDEX_NAME = "dsproxy_user_data_latest";
const INDEX_KEYS =
  "user_id, ts desc nulls last, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc";

/**
 * `full` serves every query; `partial` leaves out what has no room, and serves those that say so
 * too.
 */
export type IndexVariant = "full" | "partial";

/** What follows the table's name in a definition of the index, as the server prints it. */
export function variantOf(definition: string): IndexVariant | undefined {
  const tail = definition.slice(definition.indexOf(" USING ")).toLowerCase();
  const keys = ` using btree (${INDEX_KEYS})`;
  // The server prints what is the default of a descending key not at all, and a cast where the
  // column is a varchar.
  if (tail === keys) return "full";
  return tail.replace("(user_id)::text", "user_id") ===
      `${keys} where (octet_length(user_id) <= ${INDEXED_KEY_BYTES})`
    ? "partial"
    : undefined;
}

/** @param name unqualified: an index stands in its table's schema */
export function createIndex(
  name: string,
  table: string,
  variant: IndexVariant,
  how: "" | "concurrently",
): string {
  const where = variant === "partial" ? ` where octet_length(user_id) <= ${INDEXED_KEY_BYTES}` : "";
  return `create index ${how} ${name} on ${table} (${INDEX_KEYS})${where}`.replace("  ", " ");
}

/**
 * Adds nothing twice. A constant default is kept in the catalogue: no row is touched, whatever the
 * table's size.
 */
export function addColumns(table: string, missing: readonly string[]): string {
  const additions = COLUMNS.filter(({ name }) => missing.includes(name))
    .map(({ name, added }) => `add column if not exists ${name} ${added}`);
  return `alter table ${table} ${additions.join(", ")}`;
}

/**
 * Creates what is not there yet of all tables, `dsproxy_store` with its one row. Nobody else knows
 * of a `user_data` that is being made: its index holds nobody up.
 * @param identity of a store made new
 */
export function createTables(
  schema: string,
  missing: readonly string[],
  identity: string,
): string[] {
  const index = createIndex(INDEX_NAME, `${schema}.user_data`, "full", "").replace(
    "index ",
    "index if not exists ",
  );
  return [
    ...createBareTables(schema, missing, identity),
    ...(missing.includes("user_data") ? [index] : []),
  ];
}

function createBareTables(schema: string, missing: readonly string[], identity: string): string[] {
  const columns = COLUMNS.map(({ name, type, added }) => `${name} ${added ?? type}`).join(", ");
  const statements: Record<string, string[]> = {
    user_data: [`create table if not exists ${schema}.user_data (${columns})`],
    dsproxy_marks: [
      `create table if not exists ${schema}.dsproxy_marks (source text primary key, seq bigint not null, updated_at timestamptz not null default now())`,
    ],
    dsproxy_dead_letters: [
      `create table if not exists ${schema}.dsproxy_dead_letters (source text not null, id text not null, user_id text not null, value text not null, ts bigint not null, accepted_ms bigint not null, instance text not null, seq bigint not null, code text not null, message text not null, failed_at timestamptz not null default now(), attempts int not null default 1, primary key (source, seq))`,
      `create index if not exists dsproxy_dead_letters_id on ${schema}.dsproxy_dead_letters (id)`,
    ],
    dsproxy_store: [
      `create table if not exists ${schema}.dsproxy_store (identity text not null, cache_generation text not null default '', index_claimed_at timestamptz not null default 'epoch')`,
      // One row for ever: a second is refused, and so is a second identity.
      `create unique index if not exists dsproxy_store_one_row on ${schema}.dsproxy_store ((true))`,
      `insert into ${schema}.dsproxy_store (identity) select '${identity}' where not exists (select from ${schema}.dsproxy_store)`,
    ],
  };
  return ["user_data", ...OWN_TABLES].filter((name) => missing.includes(name)).flatMap((name) =>
    statements[name]!
  );
}

/** What a role needs on each table to do the service's work. */
export const PRIVILEGES = {
  user_data: "select, insert",
  dsproxy_marks: "select, insert, update",
  dsproxy_dead_letters: "select, insert, update, delete",
  dsproxy_store: "select, update",
} as const;

export function grants(schema: string, role: string): string[] {
  return [
    `grant usage on schema ${schema} to ${role}`,
    ...Object.entries(PRIVILEGES).map(([table, what]) =>
      `grant ${what} on ${schema}.${table} to ${role}`
    ),
  ];
}

/**
 * All of it as a script for whoever migrates by hand, on a new database or on one of the original,
 * any number of times. For a role that may not change tables. The index is built without holding
 * anybody up, so not inside a transaction.
 */
export function schemaScript(schema: string, role: string): string {
  const added = COLUMNS.filter(({ added }) => added !== undefined).map(({ name }) => name);
  const index = createIndex(INDEX_NAME, `${schema}.user_data`, "full", "concurrently");
  const statements = [
    "set lock_timeout = '50ms'",
    ...createBareTables(schema, ["user_data", ...OWN_TABLES], crypto.randomUUID()),
    addColumns(`${schema}.user_data`, added),
    "reset lock_timeout",
    index.replace("concurrently", "concurrently if not exists"),
    ...grants(schema, role),
  ];
  return statements.map((statement) => `${statement};\n`).join("");
}

/** As SQL takes any name, reserved words among them. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
