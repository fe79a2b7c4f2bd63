/**
 * Finds out which database this is, by the word that it gave itself when it was made ready for the
 * first time.
 */
import { StoreRefusesError } from "../../errors.ts";
import type { Identity } from "../../ports/store_identity.ts";
import type { Session } from "./session.ts";
import { isSchemaGone } from "./sql_state.ts";

/** Decides whether this is the database that is meant. */
export interface IdentityGate {
  /** It is the one that was met last, and undefined before the first. */
  readonly expected: string | undefined;
  /**
   * Lets the service in, or rejects.
   * @param found undefined in a database that has none yet.
   * @throws StoreRefusesError when it is another one; nothing is changed in it then
   */
  admit(found: string | undefined): Promise<void>;
  /** Is told that the database has been made ready, and is this one. */
  bind(identity: string): Promise<void>;
}

/** Reads the identity; undefined in a database that has none yet. */
export async function findIdentity(session: Session): Promise<string | undefined> {
  try {
    const { rows: [row] } = await session.query<{ identity: string }>(
      "select identity from dsproxy_store",
    );
    return row?.identity;
  } catch (error) {
    if (isSchemaGone(error)) return undefined;
    throw error;
  }
}

/**
 * Reads the identity of a database that was made ready.
 * @throws when it has none, or lost it
 */
export async function identityOf(session: Session): Promise<Identity> {
  const { rows: [row] } = await session.query<{ identity: string; cache_generation: string }>(
    "select identity, cache_generation from dsproxy_store",
  );
  if (row === undefined) {
    throw new StoreRefusesError(
      "02000",
      "dsproxy_store has no row: was it emptied? Drop that table, and it is made anew",
    );
  }
  return { id: row.identity, cacheGeneration: row.cache_generation };
}

/**
 * Refuses a database that the search path hides. A search_path that changed, or a schema that was
 * renamed, hides a database from us that is still there: an empty one made in its place would
 * answer 404 for everybody.
 * @throws StoreRefusesError when `identity` is in a schema that unqualified names do not find
 */
export async function refuseHidden(session: Session, identity: string): Promise<void> {
  const { rows } = await session.query<{ name: string; schema: string; path: string }>(
    `select format('%I.dsproxy_store', n.nspname) as name, n.nspname as schema,
       current_setting('search_path') as path
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relname = 'dsproxy_store' and c.relkind = 'r' and has_schema_privilege(n.oid, 'usage')
       and has_table_privilege(c.oid, 'select')`,
  );
  for (const { name, schema, path } of rows) {
    const found = await session.query(`select from ${name} where identity = $1`, [identity]);
    if (found.rowCount === 0) continue;
    throw new StoreRefusesError(
      "3F000",
      `The tables of this service are in the schema ${schema}, which the search_path of the role ` +
        `(${path}) does not find: set it right.`,
    );
  }
}
