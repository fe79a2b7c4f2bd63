/** A store over a test database, for as long as a test works with it. */
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import type { Store, StorePorts } from "../../src/ports/store.ts";
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
