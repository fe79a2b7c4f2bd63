/**
 * Makes the tables, and extends those of the original in place. It is cheap when nothing is to be
 * done, safe when many instances start at once, and never in anybody's way: see brief_lock.ts.
 * Nothing is left running: each statement waits for milliseconds at most, so it has ended on the
 * server before anybody could miss its client.
 */
import { StoreRefusesError, StoreUnavailableError } from "../../errors.ts";
import { changeInPassing } from "./brief_lock.ts";
import {
  type Catalogue,
  checkUsable,
  lacksRecord,
  missingFrom,
  readCatalogue,
} from "./catalogue.ts";
import type { Connections } from "./connections.ts";
import { addColumns, createTables, grants } from "./ddl.ts";
import { recordMigrations } from "./migrations.ts";
import { INSUFFICIENT_PRIVILEGE, sqlStateOf } from "./sql_state.ts";

/**
 * It locks a transaction: every migrating instance of a database waits for the one before it, for
 * some milliseconds.
 */
const MIGRATION_LOCK = 0x6473_7072; // "dspr"
/** There may be many instances, each of which has the lock for milliseconds. */
const MIGRATION_LOCK_LIMIT_MS = 5_000;
/** It is more than the longest wait for a lock: beyond this the server is away. */
const STATEMENT_LIMIT_MS = 10_000;
/** After it the error names who holds the table, and the next call goes on trying. */
const PATIENCE_MS = 30_000;
/**
 * A serialization failure, a duplicate key and a duplicate table tell of another instance at work.
 */
const COLLISIONS = ["40001", "23505", "42P07"];

export interface MigrationOptions {
  /** It waits so long for a moment in which nobody holds the table; the default is 30 s. */
  readonly patienceMs?: number;
  /** It ends the waiting, when the service is about to stop. */
  readonly signal?: AbortSignal;
}

/**
 * Makes what every other statement needs. The index may be missing afterwards: see `ensureIndex` in
 * latest_index.ts.
 * @throws StoreRefusesError when a person has to do something; any other error may pass, and the
 *   call be repeated
 */
export async function ensureTables(
  connections: Connections,
  options: MigrationOptions = {},
): Promise<void> {
  const catalogue = await look(connections);
  const { columns, tables } = missingFrom(catalogue);
  if (columns.length === 0 && tables.length === 0) {
    if (lacksRecord(catalogue)) await takeOver(connections, catalogue);
    return;
  }
  checkRights(catalogue);
  try {
    if (tables.length > 0) await create(connections, catalogue, tables);
    if (columns.length > 0) await extend(connections, catalogue, columns, options);
  } catch (error) {
    throw sqlStateOf(error) === INSUFFICIENT_PRIVILEGE
      ? refusal(catalogue, (error as Error).message, error)
      : error;
  }
  const left = missingFrom(await look(connections));
  if (left.columns.length + left.tables.length > 0) {
    throw new StoreUnavailableError(
      `Still missing after the migration: ${
        [...left.tables, ...left.columns].join(", ")
      }. Is the search_path (` +
        `${catalogue.searchPath}) the same on every connection?`,
    );
  }
}

async function look(connections: Connections): Promise<Catalogue> {
  const catalogue = await connections.run(STATEMENT_LIMIT_MS, readCatalogue);
  checkUsable(catalogue);
  return catalogue;
}

/**
 * Creates all tables in one statement, so that they are all there or not at all: a store without
 * its identity is never seen.
 */
async function create(
  connections: Connections,
  { schema }: Catalogue,
  tables: readonly string[],
): Promise<void> {
  const text = migration([
    ...createTables(schema!, tables, crypto.randomUUID()).map((statement) => `${statement};`),
    record(schema!),
  ]);
  try {
    await connections.run(STATEMENT_LIMIT_MS, (session) => session.query(text));
  } catch (error) {
    // Another instance was first; in the stricter isolation levels even behind the lock. The look
    // that follows shows what is there.
    if (!COLLISIONS.includes(sqlStateOf(error) ?? "")) throw error;
  }
}

/**
 * Takes over a database of the releases that kept no record. It is complete without one: nothing is
 * lost where it cannot be made, by this role or on a server that takes no writes, and the next
 * start tries again.
 */
async function takeOver(
  connections: Connections,
  { schema, mayCreate }: Catalogue,
): Promise<void> {
  if (!mayCreate) return;
  try {
    const text = migration([record(schema!)]);
    await connections.run(STATEMENT_LIMIT_MS, (session) => session.query(text));
  } catch (error) {
    if (sqlStateOf(error) === undefined) throw error;
  }
}

/** Returns one statement, in which migrating instances come one after the other. */
function migration(blocks: readonly string[]): string {
  return `do $dsproxy$ begin
    perform set_config('lock_timeout', '${MIGRATION_LOCK_LIMIT_MS}ms', true),
      set_config('client_min_messages', 'warning', true);
    perform pg_advisory_xact_lock(${MIGRATION_LOCK});
    ${blocks.join("\n    ")}
  end $dsproxy$`;
}

/**
 * Returns the record as a block by itself: it may belong to a role that does not share it, and is
 * for people.
 */
function record(schema: string): string {
  const statements = recordMigrations(schema).map((statement) => `${statement};`).join(" ");
  return `begin ${statements} exception when insufficient_privilege then null; end;`;
}

function extend(
  connections: Connections,
  { userData }: Catalogue,
  columns: readonly string[],
  { patienceMs = PATIENCE_MS, signal }: MigrationOptions,
): Promise<void> {
  const { name } = userData!;
  const change = {
    table: name,
    mode: "access exclusive",
    statement: addColumns(name, columns),
  } as const;
  return changeInPassing(connections, change, patienceMs, signal);
}

/**
 * Checks that the role may do what is missing.
 * @throws StoreRefusesError with what the owner has to do, when the role may not do it itself
 */
export function checkRights(catalogue: Catalogue): void {
  const { columns, tables } = missingFrom(catalogue);
  const { role, schema, mayCreate, userData } = catalogue;
  if (tables.length > 0 && !mayCreate) {
    throw refusal(catalogue, `The role ${role} may not create tables in the schema ${schema}`);
  }
  if (columns.length > 0 && !userData!.owned) {
    throw refusal(
      catalogue,
      `The role ${role} may not extend the table ${userData!.name}, which belongs to ${
        userData!.owner
      }`,
    );
  }
}

function refusal(catalogue: Catalogue, reason: string, cause?: unknown): StoreRefusesError {
  const { columns, tables } = missingFrom(catalogue);
  const statements = [
    ...createTables(catalogue.schema!, tables, crypto.randomUUID()),
    ...recordMigrations(catalogue.schema!),
    ...(columns.length > 0 ? [addColumns(catalogue.userData!.name, columns)] : []),
    ...grants(catalogue.schema!, catalogue.role),
  ];
  return new StoreRefusesError(
    INSUFFICIENT_PRIVILEGE,
    `${reason}. Let its owner or a superuser run this: ${
      statements.map((statement) => `${statement};`).join(" ")
    }`,
    { cause },
  );
}
