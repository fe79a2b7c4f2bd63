/** The database and cache servers, and the folder, that the sides of a run share. */
import { once, startPostgres } from "../../tests/support/postgres.ts";
import { startRedis } from "../../tests/support/redis.ts";
import type { TestServer } from "../../tests/support/services.ts";

export class Servers implements AsyncDisposable {
  #databases = 0;

  private constructor(
    readonly postgres: TestServer,
    readonly redis: TestServer,
    readonly folder: string,
  ) {}

  static async start(): Promise<Servers> {
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    return new Servers(postgres, redis, await Deno.makeTempDir({ prefix: "dsproxy-bench-" }));
  }

  /** Returns the URL of a new, empty database. */
  async database(): Promise<string> {
    const name = `bench${++this.#databases}`;
    await once(this.postgres.url, (sql) => sql.unsafe(`create database ${name}`));
    const url = new URL(this.postgres.url);
    url.pathname = name;
    return url.href;
  }

  async drop(databaseUrl: string): Promise<void> {
    const name = new URL(databaseUrl).pathname.slice(1);
    await once(this.postgres.url, (sql) => sql.unsafe(`drop database ${name} with (force)`));
  }

  /** Begins each side on written pages, so that none pays for those of the one before. */
  async checkpoint(): Promise<void> {
    await once(this.postgres.url, (sql) => sql.unsafe("checkpoint"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.postgres.dispose(), this.redis.dispose()]);
    await Deno.remove(this.folder, { recursive: true });
  }
}
