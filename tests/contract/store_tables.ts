/** Stores to run the suites over: each kind, empty, with a way to its tables past the port. */
import { DatabaseSync } from "node:sqlite";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { createSqliteStore } from "../../src/adapters/sqlite/store.ts";
import type { GroupStore } from "../../src/ports/group_store.ts";
import type { StorePorts } from "../../src/ports/store.ts";
import { SimulatedStore } from "../simulation/store.ts";
import { World } from "../simulation/world.ts";
import { settle } from "../support/fake_clock.ts";
import { FakeStore } from "../support/fakes.ts";
import type { MemoryStore } from "../support/memory_store.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { postgresOptions } from "../support/postgres_options.ts";
import type {
  Buried,
  OneStoreUnderTest,
  Refusal,
  Row,
  StoreUnderTest,
  Tables,
} from "./store_under_test.ts";

type Sql = readonly [on: string, off: string];

const ONE_ROW_A_USER: Sql = [
  "create unique index one_row_a_user on user_data (user_id)",
  "drop index one_row_a_user",
];

const POSTGRES_REFUSALS: Readonly<Record<Refusal, Sql>> = {
  "every row": [
    `alter table user_data add tenant text not null default '';
     alter table user_data alter tenant drop default`,
    "alter table user_data drop tenant",
  ],
  "a second row of a user": ONE_ROW_A_USER,
  "the value bad": [
    `create function refuse_bad() returns trigger language plpgsql as $$ begin
       if new.value = 'bad' then raise exception 'no bad values'; end if; return new; end $$;
     create trigger refuse_bad before insert on user_data
       for each row execute function refuse_bad()`,
    "drop function refuse_bad cascade",
  ],
  "the value bad, without a word": [
    `create function vanish_bad() returns trigger language plpgsql as $$ begin
       return case when new.value = 'bad' then null else new end; end $$;
     create trigger vanish_bad before insert on user_data
       for each row execute function vanish_bad()`,
    "drop function vanish_bad cascade",
  ],
};

const SQLITE_REFUSALS: Readonly<Record<Refusal, Sql>> = {
  "every row": [
    `create trigger refuse_all before insert on user_data
       begin select raise(abort, 'maintenance'); end`,
    "drop trigger refuse_all",
  ],
  "a second row of a user": ONE_ROW_A_USER,
  "the value bad": [
    `create trigger refuse_bad before insert on user_data when new.value = 'bad'
       begin select raise(abort, 'no bad values'); end`,
    "drop trigger refuse_bad",
  ],
  "the value bad, without a word": [
    `create trigger vanish_bad before insert on user_data when new.value = 'bad'
       begin select raise(ignore); end`,
    "drop trigger vanish_bad",
  ],
};

/** Does as another program would, behind the back of the service. */
interface Executing {
  execute(sql: string): Promise<void>;
}

export async function postgresUnderTest(): Promise<
  StoreUnderTest & { readonly groups: GroupStore } & Executing
> {
  const database = await createDatabase();
  const ports = createPostgresStore(postgresOptions(database.url));
  const execute = async (text: string) => void await once(database.url, (sql) => sql.unsafe(text));
  const { url } = database;
  return {
    ...ports,
    nowMs: () => Date.now(),
    rows: async () => [
      ...await once(
        url,
        (sql) => sql<Row[]>`select user_id, value, ts::float8 as ts from user_data`,
      ),
    ],
    buried: async () => [
      ...await once(
        url,
        (sql) =>
          sql<
            Buried[]
          >`select seq::float8 as seq, value, code from dsproxy_dead_letters order by seq`,
      ),
    ],
    execute,
    ...sqlTables(execute, POSTGRES_REFUSALS),
    async [Symbol.asyncDispose]() {
      await ports.store.close();
      await database.drop();
    },
  };
}

export async function sqliteUnderTest(): Promise<StoreUnderTest & Executing> {
  const folder = await Deno.makeTempDir({ prefix: "dsproxy-sqlite-" });
  const path = `${folder}/test.db`;
  const ports = createSqliteStore({ path });
  const withDatabase = <T>(work: (db: DatabaseSync) => T): Promise<T> => {
    const db = new DatabaseSync(path);
    try {
      return Promise.resolve(work(db));
    } finally {
      db.close();
    }
  };
  const execute = (text: string) => withDatabase((db) => db.exec(text));
  const all = <T>(text: string) =>
    withDatabase((db) => db.prepare(text).all().map((row) => ({ ...row })) as unknown as T[]);
  return {
    ...ports,
    nowMs: () => Date.now(),
    rows: () => all<Row>("select user_id, value, ts from user_data"),
    buried: () => all<Buried>("select seq, value, code from dsproxy_dead_letters order by seq"),
    execute,
    ...sqlTables(execute, SQLITE_REFUSALS),
    async [Symbol.asyncDispose]() {
      await ports.store.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** The simulated server on a network without faults, whose time passes while a call is awaited. */
export function simulatedUnderTest(): Promise<StoreUnderTest> {
  const world = new World(1);
  const server = new SimulatedStore(world, () => {});
  const { store, identity, deadLetters, sweeps } = server.client({ alive: true });
  return Promise.resolve({
    store: stepped(world, store),
    identity: stepped(world, identity),
    deadLetters: stepped(world, deadLetters),
    sweeps: stepped(world, sweeps),
    ...memoryTables(server.tables),
    nowMs: () => world.nowMs,
  });
}

export function fakeUnderTest(): Promise<OneStoreUnderTest> {
  const store = new FakeStore();
  return Promise.resolve({ store, ...memoryTables(store.tables) });
}

/** Every method of `port` returns a promise, and lets events happen until that settles. */
function stepped<Port extends StorePorts[keyof StorePorts]>(world: World, port: Port): Port {
  const methods = Object.entries<(...args: never[]) => Promise<unknown>>(port as never);
  return Object.fromEntries(methods.map(([name, method]) => [name, async (...args: never[]) => {
    let settled = false;
    const result = method(...args).finally(() => settled = true);
    result.catch(() => {}); // It is awaited once nothing is left to wait for.
    await settle(); // What is answered without the network takes no event.
    while (!settled) await world.step();
    return await result;
  }])) as unknown as Port;
}

function sqlTables(
  execute: (text: string) => Promise<void>,
  refusals: Readonly<Record<Refusal, Sql>>,
): Pick<Tables, "insert" | "setMarks" | "refuse"> {
  return {
    insert: (rows) => {
      const values = rows.map(({ user_id, value, ts }) =>
        `(${literal(user_id)}, ${literal(value)}, ${ts ?? "null"})`
      );
      return execute(`insert into user_data (user_id, value, ts) values ${values.join(", ")}`);
    },
    setMarks: (seq) =>
      execute(
        seq === undefined ? "delete from dsproxy_marks" : `update dsproxy_marks set seq = ${seq}`,
      ),
    async refuse(what) {
      const [on, off] = refusals[what];
      await execute(on);
      return () => execute(off);
    },
  };
}

function literal(text: string | null): string {
  return text === null ? "null" : `'${text.replaceAll("'", "''")}'`;
}

export function memoryTables(tables: MemoryStore): Tables {
  const done = Promise.resolve();
  return {
    nowMs: () => Date.now(),
    [Symbol.asyncDispose]: () => done,
    rows: () =>
      Promise.resolve(tables.rows.map(({ userId, value, ts }) => ({ user_id: userId, value, ts }))),
    buried: () => Promise.resolve(tables.dead.toSorted((a, b) => a.seq - b.seq)),
    insert(rows) {
      for (const { user_id: userId, value, ts } of rows) {
        // A row without a value, or of nobody, is never read.
        if (userId === null || value === null) continue;
        tables.insert({ userId, value, ts: ts ?? 0, acceptedMs: 0, run: "", seq: 0 });
      }
      return done;
    },
    setMarks(seq) {
      for (const source of [...tables.markOf.keys()]) {
        if (seq === undefined) tables.markOf.delete(source);
        else tables.markOf.set(source, seq);
      }
      return done;
    },
    refuse(what) {
      const before = [tables.refuses, tables.refusesAll] as const;
      if (what === "every row") {
        tables.refusesAll = { code: "23502", message: "user_data takes no row at all" };
      } else tables.refuses = memoryRefusal(what, tables);
      return Promise.resolve(() => {
        [tables.refuses, tables.refusesAll] = before;
        return done;
      });
    },
  };
}

function memoryRefusal(
  what: Exclude<Refusal, "every row">,
  tables: MemoryStore,
): MemoryStore["refuses"] {
  const message = {
    "a second row of a user": "violates a unique constraint",
    "the value bad": "no bad values",
    "the value bad, without a word": "a trigger lets the row vanish",
  }[what];
  const applies = what === "a second row of a user"
    ? ({ userId }: { userId: string }) => tables.rows.some((row) => row.userId === userId)
    : ({ value }: { value: string }) => value === "bad";
  return (entry) => applies(entry) ? { code: "23000", message } : undefined;
}
