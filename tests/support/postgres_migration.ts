/** Migrates a test database, and looks at what came of it. */
import { ensureIndex } from "../../src/adapters/postgres/latest_index.ts";
import { ensureTables } from "../../src/adapters/postgres/schema.ts";
import { once } from "./postgres.ts";
import { connectionsTo } from "./postgres_connections.ts";

/** Nobody else works with the database, so that a second look can come soon. */
export const INDEX_OPTIONS = { pollMs: 50 };

export const execute = (url: string, text: string) => once(url, (sql) => sql.unsafe(text));

/** Makes the tables and the index, as a start does. */
export async function migrate(
  url: string,
  ...others: Parameters<typeof connectionsTo> extends [string, ...infer Rest] ? Rest : never
) {
  const connections = connectionsTo(url, ...others);
  await ensureTables(connections);
  await ensureIndex(connections, INDEX_OPTIONS);
}

/** Returns the first column of the first row. */
export async function single<T>(url: string, text: string): Promise<T> {
  const [row] = await execute(url, text);
  return Object.values(row!)[0] as T;
}
