/** The store's options for a test database. */
import type { DatabaseOptions } from "../../src/adapters/postgres/database.ts";

export function postgresOptions(
  databaseUrl: string,
  others: Partial<DatabaseOptions> = {},
): DatabaseOptions {
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
