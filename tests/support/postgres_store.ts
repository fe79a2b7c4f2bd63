/** A store over a test database, for as long as a test works with it. */
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import type { Store, StorePorts } from "../../src/ports/store.ts";
import { eventually } from "./dsproxy.ts";
import { once } from "./postgres.ts";
import { postgresOptions } from "./postgres_options.ts";

export async function withStore(
  url: string,
  work: (store: Store, others: StorePorts) => Promise<void>,
): Promise<void> {
  const ports = createPostgresStore(postgresOptions(url));
  try {
    await work(ports.store, ports);
  } finally {
    await ports.store.close();
  }
}

/**
 * Returns once the index is there, which is built while the store works already. DDL of a test that
 * met the build could be the one that PostgreSQL ends because of a deadlock.
 */
export function indexed(url: string): Promise<void> {
  return eventually("the index is there", async () => {
    const [found] = await once(url, (sql) =>
      sql.unsafe(
        "select from pg_index where indexrelid = to_regclass('dsproxy_user_data_latest') and " +
          "indisvalid",
      ));
    return found !== undefined;
  });
}
