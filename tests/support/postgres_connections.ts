/**
 * Connections for the statements of the PostgreSQL adapter: a new one each time, without a pool.
 */
import pg from "pg";
import type { Connections } from "../../src/adapters/postgres/connections.ts";
import type { Session } from "../../src/adapters/postgres/session.ts";

/** @param observe told of every statement before it is sent */
export function connectionsTo(
  url: string,
  credentials: { readonly user?: string; readonly password?: string } = {},
  observe: (text: string) => void = () => {},
): Connections {
  return new PlainConnections({
    ...clientOptions(url),
    ...credentials,
    application_name: "dsproxy",
  }, observe);
}

class PlainConnections implements Connections {
  constructor(readonly config: pg.ClientConfig, readonly observe: (text: string) => void) {}

  async run<T>(_limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    const client = new pg.Client(this.config);
    client.on("error", () => {}); // Told to whoever waits for the answer too.
    await client.connect();
    try {
      return await work({
        query: async <Row>(text: string, parameters: readonly unknown[] = []) => {
          this.observe(text);
          const { rows, rowCount } = await client.query(text, [...parameters]);
          return { rows: rows as Row[], rowCount };
        },
      });
    } finally {
      await client.end();
    }
  }

  transaction<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    return this.run(limitMs, async (session) => {
      await session.query("begin");
      try {
        const result = await work(session);
        await session.query("commit");
        return result;
      } catch (error) {
        await session.query("rollback");
        throw error;
      }
    });
  }
}

export function clientOptions(url: string): pg.ClientConfig {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    host: hostname,
    port: Number(port),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
  };
}
