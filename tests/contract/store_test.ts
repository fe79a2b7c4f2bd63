import { DatabaseSync } from "node:sqlite";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { createSqliteStore } from "../../src/adapters/sqlite/store.ts";
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
      once(
        database.url,
        async (
          sql,
        ) => [...await sql<Row[]>`select user_id, value, ts::float8 as ts from user_data`],
      ),
    refuseAll: {
      on:
        "alter table user_data add tenant text not null default ''; alter table user_data alter tenant drop default",
      off: "alter table user_data drop tenant",
    },
    refuseBad: `create function refuse_bad() returns trigger language plpgsql as $$ begin
      if new.value = 'bad' then raise exception 'no bad values'; end if; return new; end $$;
      create trigger refuse_bad before insert on user_data for each row execute function refuse_bad()`,
    vanishBad: `create function vanish_bad() returns trigger language plpgsql as $$ begin
      return case when new.value = 'bad' then null else new end; end $$;
      create trigger vanish_bad before insert on user_data for each row execute function vanish_bad()`,
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
    rows: () =>
      withDatabase((db) =>
        db.prepare("select user_id, value, ts from user_data").all() as unknown as Row[]
      ),
    refuseAll: {
      on:
        "create trigger refuse_all before insert on user_data begin select raise(abort, 'maintenance'); end",
      off: "drop trigger refuse_all",
    },
    refuseBad: `create trigger refuse_bad before insert on user_data when new.value = 'bad'
      begin select raise(abort, 'no bad values'); end`,
    vanishBad:
      `create trigger vanish_bad before insert on user_data when new.value = 'bad' begin select raise(ignore); end`,
    execute: (text) => withDatabase((db) => db.exec(text)),
    async [Symbol.asyncDispose]() {
      await store.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
});
