/**
 * The database of the demonstration: a PostgreSQL of its own where this machine has one, else the
 * embedded one. It can be taken away for a while, and refuses values that are too long.
 */
import { DatabaseSync } from "node:sqlite";
import type { Environment } from "../support/dsproxy.ts";
import { find, POSTGRES } from "../support/installed.ts";
import { once, type PostgresServer, startPostgres } from "../support/postgres.ts";

/** A value that is longer is refused by the database, as a constraint of somebody's table would. */
export const VALUE_LENGTH_MAX = 200;

export interface DemoStore extends AsyncDisposable {
  /** For people, as `PostgreSQL`. */
  readonly name: string;
  readonly settings: Environment;
  /** To be called once the service has made its table. */
  refuseLongValues(): Promise<void>;
  acceptAllValues(): Promise<void>;
  takeAway(): Promise<void>;
  bringBack(): Promise<void>;
  /** As the service should find it there. */
  valuesOf(userId: string): Promise<string[]>;
}

export async function startStore(dataDir: string): Promise<DemoStore> {
  return await find(POSTGRES) === undefined
    ? new EmbeddedStore(`${dataDir}/dsproxy.db`)
    : new PostgresStore(await startPostgres());
}

class PostgresStore implements DemoStore {
  readonly name = "PostgreSQL";
  readonly settings: Environment;

  constructor(private readonly server: PostgresServer) {
    this.settings = { DATABASE_URL: server.url };
  }

  takeAway(): Promise<void> {
    return this.server.kill();
  }

  bringBack(): Promise<void> {
    return this.server.start();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server.dispose();
  }

  refuseLongValues(): Promise<void> {
    return this.#run(
      `alter table user_data add constraint demo_length
       check (length(value) <= ${VALUE_LENGTH_MAX}) not valid`,
    );
  }

  acceptAllValues(): Promise<void> {
    return this.#run("alter table user_data drop constraint demo_length");
  }

  async valuesOf(userId: string): Promise<string[]> {
    const rows = await once(
      this.server.url,
      (sql) => sql<{ value: string }[]>`select value from user_data where user_id = ${userId}`,
    );
    return rows.map(({ value }) => value);
  }

  async #run(statement: string): Promise<void> {
    await once(this.server.url, (sql) => sql.unsafe(statement));
  }
}

class EmbeddedStore implements DemoStore {
  readonly name = "The embedded database";
  readonly settings: Environment = { STORE: "sqlite" };
  #locker: DatabaseSync | undefined;

  constructor(private readonly path: string) {}

  refuseLongValues(): Promise<void> {
    return this.#run(
      `create trigger demo_length before insert on user_data
       when length(new.value) > ${VALUE_LENGTH_MAX}
       begin select raise(abort, 'the value is too long'); end`,
    );
  }

  acceptAllValues(): Promise<void> {
    return this.#run("drop trigger demo_length");
  }

  /** Whoever holds the lock keeps everybody else from writing. */
  takeAway(): Promise<void> {
    this.#locker = this.#open();
    this.#locker.exec("begin immediate");
    return Promise.resolve();
  }

  bringBack(): Promise<void> {
    this.#locker?.close();
    this.#locker = undefined;
    return Promise.resolve();
  }

  valuesOf(userId: string): Promise<string[]> {
    const db = this.#open();
    const rows = db.prepare("select value from user_data where user_id = ?").all(userId);
    db.close();
    return Promise.resolve(rows.map(({ value }) => String(value)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.bringBack();
  }

  #open(): DatabaseSync {
    const db = new DatabaseSync(this.path);
    db.exec("pragma busy_timeout = 10000");
    return db;
  }

  #run(statement: string): Promise<void> {
    const db = this.#open();
    db.exec(statement);
    db.close();
    return Promise.resolve();
  }
}
