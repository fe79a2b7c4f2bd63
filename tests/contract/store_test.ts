import { DatabaseSync } from "node:sqlite";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { createSqliteStore } from "../../src/adapters/sqlite.ts";
import { postgresOptions } from "../support/postgres_options.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { storeContract } from "./store_suite.ts";

interface Row {
  user_id: string | null;
  value: string | null;
  ts: number | null;
}

storeContract("PostgreSQL", async () => {
  const database = await createDatabase();
  const store = createPostgresStore(postgresOptions(database.url));
  return {
    store,
    rows: () =>
      once(database.url, async (sql) => [...await sql<Row[]>`select user_id, value, ts::float8 as ts from user_data`]),
    execute: async (text) => void await once(database.url, (sql) => sql.unsafe(text)),
    async [Symbol.asyncDispose]() {
      await store.close();
      await database.drop();
    },
  };
});

storeContract("SQLite", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-sqlite-" });
  const path = `${folder}/test.db`;
  const store = createSqliteStore({ path });
  const withDatabase = <T>(work: (db: DatabaseSync) => T): Promise<T> => {
    const db = new DatabaseSync(path);
    try {
      return Promise.resolve(work(db));
    } finally {
      db.close();
    }
  };
  return {
    store,
    rows: () => withDatabase((db) => db.prepare("select user_id, value, ts from user_data").all() as unknown as Row[]),
    execute: (text) => withDatabase((db) => db.exec(text)),
    async [Symbol.asyncDispose]() {
      await store.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
});
