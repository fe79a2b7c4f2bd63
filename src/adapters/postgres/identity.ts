/** Which database this is: the word that it gave itself when it was made ready for the first time. */
import { StoreRefusesError } from "../../errors.ts";
import type { Identity } from "../../ports.ts";
import type { Session } from "./session.ts";
import { isSchemaGone } from "./sql_state.ts";

/** Decides whether this is the database that is meant. */
export interface IdentityGate {
  /** @param found undefined in a database that has none yet. @throws StoreRefusesError when it is another one; nothing is changed in it then */
  admit(found: string | undefined): Promise<void>;
  /** The database has been made ready, and is this one. */
  bind(identity: string): Promise<void>;
}

/** Undefined in a database that has none yet. */
export async function findIdentity(session: Session): Promise<string | undefined> {
  try {
    const { rows: [row] } = await session.query<{ identity: string }>("select identity from dsproxy_store");
    return row?.identity;
  } catch (error) {
    if (isSchemaGone(error)) return undefined;
    throw error;
  }
}

/** @throws when it has none, or lost it */
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
