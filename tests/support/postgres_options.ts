/** The store's options for a test database. */
import type { PostgresStoreOptions } from "../../src/adapters/postgres/store.ts";

export function postgresOptions(
  databaseUrl: string,
  others: Partial<PostgresStoreOptions> = {},
): PostgresStoreOptions {
  const { hostname, port, username, password, pathname } = new URL(databaseUrl);
  return {
    hosts: [{ host: hostname, port: Number(port) }],
    user: decodeURIComponent(username),
    password: () => decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    sslMode: "prefer",
    poolSize: 4,
    ...others,
  };
}
