/** Fills the port of the store's identity, over the one row of `dsproxy_store`. */
import type { Identity, StoreIdentity } from "../../ports/store_identity.ts";
import type { Database } from "./database.ts";
import { identityOf } from "./identity.ts";

export class PostgresIdentity implements StoreIdentity {
  constructor(private readonly database: Database) {}

  identify(): Promise<Identity> {
    return this.database.run(identityOf);
  }

  outdateCopies(): Promise<Identity> {
    return this.database.run(async (session) => {
      await session.query("update dsproxy_store set cache_generation = $1", [
        crypto.randomUUID().slice(0, 8),
      ]);
      return await identityOf(session);
    });
  }
}
