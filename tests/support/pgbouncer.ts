/** Real PgBouncers for tests. */
import { installed, PGBOUNCER } from "./installed.ts";
import { makeFolder, selectOne, unprivilegedOwner, writeOwned } from "./postgres.ts";
import { freePort, TestServer } from "./services.ts";

export interface PgBouncerOptions {
  /** The server behind it, and the user and password that both of them accept. */
  readonly databaseUrl: string;
  readonly poolMode: "session" | "transaction" | "statement";
  /**
   * Connections to the server for a user and database; default 2, so that clients really share
   * them.
   */
  readonly poolSize?: number;
  /** Further lines of the section `pgbouncer`, by name. */
  readonly settings?: Readonly<Record<string, string>>;
}

export type PgBouncer = TestServer;

/**
 * A PgBouncer of one's own with default settings, on a free loopback port, in front of every
 * database of the server. Its `url` is that of `databaseUrl` through it. To be disposed of by the
 * caller.
 */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  const command = await installed(PGBOUNCER);
  const owner = await unprivilegedOwner();
  const folder = await makeFolder(owner);
  const port = freePort();
  const through = new URL(options.databaseUrl);
  through.port = String(port);
  const server = new TestServer(through.href, {
    name: "PgBouncer",
    port,
    folder,
    command,
    args: [`${folder}/pgbouncer.ini`],
    owner,
    stopSignal: "SIGTERM",
    probe: () => selectOne(through.href),
  });
  try {
    await writeOwned(`${folder}/users`, userLine(options.databaseUrl), owner);
    await writeOwned(`${folder}/pgbouncer.ini`, configuration(folder, port, options), owner);
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

function userLine(databaseUrl: string): string {
  const { username, password } = new URL(databaseUrl);
  const quoted = [username, password].map((part) =>
    `"${decodeURIComponent(part).replaceAll('"', '""')}"`
  );
  return `${quoted.join(" ")}\n`;
}

function configuration(folder: string, port: number, options: PgBouncerOptions): string {
  const { hostname, port: serverPort } = new URL(options.databaseUrl);
  const settings = {
    listen_addr: "127.0.0.1",
    listen_port: port,
    unix_socket_dir: "",
    auth_type: "scram-sha-256",
    auth_file: `${folder}/users`,
    pool_mode: options.poolMode,
    default_pool_size: options.poolSize ?? 2,
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  return `[databases]\n* = host=${hostname} port=${serverPort}\n[pgbouncer]\n${lines.join("")}`;
}
