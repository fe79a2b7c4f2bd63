/**
 * Writes what dsProxy has in a database, as statements. Names of schemas, tables and roles come in
 * quoted where they need it.
 */
import { createOwnTables, OWN_TABLES, recordMigrations } from "./migrations.ts";
import { COLUMNS, NEWEST_FIRST } from "./user_data.ts";

/**
 * A B-tree entry has no room for more: a row of somebody else with a longer user_id stays outside
 * the index.
 */
export const INDEXED_KEY_BYTES = 1024;

export const INDEX_NAME = "dsproxy_user_data_latest";
const INDEX_KEYS = `user_id, ${NEWEST_FIRST}`;

/**
 * `full` serves every query; `partial` leaves out what has no room, and serves those that say so
 * too.
 */
export type IndexVariant = "full" | "partial";

/**
 * Returns the variant of a definition as the server prints it, from what follows the table's name;
 * undefined for an index that is none of ours.
 */
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

/**
 * Returns the statement that creates the index.
 * @param name unqualified: an index stands in its table's schema
 */
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
    ...(missing.includes("user_data") ? [createUserData(schema)] : []),
    ...createOwnTables(schema, missing, identity),
    ...(missing.includes("user_data") ? [index] : []),
  ];
}

function createUserData(schema: string): string {
  const columns = COLUMNS.map(({ name, type, added }) => `${name} ${added ?? type}`).join(", ");
  return `create table if not exists ${schema}.user_data (${columns})`;
}

/**
 * Returns the statement that makes the table of the applied intervals. It is no migration: a
 * service that brings its entries to the store itself has no use for it, and needs no right for it.
 */
export function createApplied(schema: string): string {
  return `create table if not exists ${schema}.dsproxy_applied (source text not null, ` +
    "first bigint not null, last bigint not null, primary key (source, first))";
}

export function grantApplied(schema: string, role: string): string {
  return `grant select, insert, delete on ${schema}.dsproxy_applied to ${role}`;
}

/** A role needs these on each table to do the service's work; the record is for people. */
const PRIVILEGES = {
  user_data: "select, insert",
  dsproxy_marks: "select, insert, update",
  dsproxy_dead_letters: "select, insert, update, delete",
  dsproxy_store: "select, update",
  dsproxy_leader: "select, update",
  dsproxy_lease: "select, update",
  dsproxy_gone: "select, insert, update",
  dsproxy_audit_notes: "select, insert, update",
  dsproxy_migrations: "select",
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
 * Only retention deletes rows, so that a service without it needs no right for that. It also locks
 * the row that it keeps, for which the server asks for the right to update any of its columns.
 */
export function grantRetention(schema: string, role: string): string {
  return `grant delete, update (dsproxy_seq) on ${schema}.user_data to ${role}`;
}

/**
 * Returns all of it as a script for whoever migrates by hand, as the role of the service may not
 * change tables, with what only a service that has a broker needs. It can be run on a new database
 * or on one of the original, any number of times. The index is built without holding anybody up,
 * so not inside a transaction.
 * @param hasRetention the rights that only this needs are granted, too
 */
export function schemaScript(schema: string, role: string, hasRetention = false): string {
  const added = COLUMNS.filter(({ added }) => added !== undefined).map(({ name }) => name);
  const index = createIndex(INDEX_NAME, `${schema}.user_data`, "full", "concurrently");
  const statements = [
    "set lock_timeout = '50ms'",
    createUserData(schema),
    ...createOwnTables(schema, OWN_TABLES, crypto.randomUUID()),
    createApplied(schema),
    ...recordMigrations(schema),
    addColumns(`${schema}.user_data`, added),
    "reset lock_timeout",
    index.replace("concurrently", "concurrently if not exists"),
    ...grants(schema, role),
    grantApplied(schema, role),
    ...(hasRetention ? [grantRetention(schema, role)] : []),
  ];
  return statements.map((statement) => `${statement};\n`).join("");
}

/** Quotes a name: between quotes SQL takes any, reserved words among them. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
