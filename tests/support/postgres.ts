/** Real PostgreSQL servers and databases for tests. */
import postgres from "postgres";
import { installed, POSTGRES } from "./installed.ts";
import { freePort, output, type Owner, runVariable, TestServer } from "./services.ts";

export type PostgresServer = TestServer;

/** Password authentication is on, so that logging in is tested too. */
const PASSWORD = "test password: ü/@?";

/**
 * A PostgreSQL of one's own with default settings, on a free loopback port. To be disposed of by
 * the caller.
 * @param settings further lines of `postgresql.conf`, by name
 * @param files written into the data folder, readable by the server only, by name
 */
export function startPostgres(
  settings: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<PostgresServer> {
  return startOnNewData(settings, async ({ command, data, folder, owner }) => {
    await initialise(command.replace(/postgres$/, "initdb"), data, `${folder}/password`, owner);
    for (const [name, text] of Object.entries(files)) {
      await writeOwned(`${data}/${name}`, text, owner);
    }
  });
}

interface NewData {
  /** The full path of `postgres`; its other programs are in the same folder. */
  readonly command: string;
  readonly folder: string;
  /** The data folder to be made, inside `folder`. */
  readonly data: string;
  readonly owner: Owner | undefined;
}

/**
 * A server on a free port and on the data that `fill` makes. Its superuser has the name and
 * password of {@link startPostgres}.
 */
export async function startOnNewData(
  settings: Readonly<Record<string, string>>,
  fill: (data: NewData) => Promise<void>,
): Promise<PostgresServer> {
  const command = await installed(POSTGRES);
  const owner = await unprivilegedOwner();
  const folder = await makeFolder(owner);
  const data = `${folder}/data`;
  const port = freePort();
  const url = `postgres://postgres:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/postgres`;
  const options = { listen_addresses: "127.0.0.1", unix_socket_directories: "", ...settings };
  const lines = Object.entries(options).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const server = new TestServer(url, {
    name: "PostgreSQL",
    port,
    folder,
    command,
    args: ["-D", data, "-p", `${port}`, ...lines],
    owner,
    stopSignal: "SIGINT", // The "fast" shutdown: sessions are ended, data is flushed.
    probe: () => selectOne(url),
  });
  try {
    await fill({ command, folder, data, owner });
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

interface TestDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

/** A new, empty database on the server of this run. */
export async function createDatabase(): Promise<TestDatabase> {
  const admin = runVariable("TEST_DATABASE_URL");
  const name = `dsproxy_test_${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
  await once(admin, (sql) => sql.unsafe(`create database ${name} template template0`));
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: async () =>
      void await once(admin, (sql) => sql.unsafe(`drop database if exists ${name} with (force)`)),
  };
}

/** Runs `work` with a database that is dropped afterwards. */
export async function withDatabase<T>(work: (url: string) => Promise<T>): Promise<T> {
  const database = await createDatabase();
  try {
    return await work(database.url);
  } finally {
    await database.drop();
  }
}

/** Runs `work` on one connection that is closed afterwards. */
export async function once<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, {
    max: 1,
    connect_timeout: 10,
    fetch_types: false,
    onnotice: () => {},
  });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** Without a prepared statement, which a pooler in front of the server may not know. */
export async function selectOne(url: string): Promise<void> {
  await once(url, (sql) => sql.unsafe("select 1"));
}

async function initialise(
  initdb: string,
  data: string,
  passwordFile: string,
  owner: Owner | undefined,
): Promise<void> {
  await writeOwned(passwordFile, PASSWORD, owner);
  // deno-fmt-ignore
  const args = [
    "-D", data, "-U", "postgres", "--pwfile", passwordFile, "--auth", "scram-sha-256",
    "--encoding", "UTF8", "--no-locale", "--no-sync",
  ];
  await output(initdb, args, owner);
}

export async function writeOwned(
  path: string,
  text: string,
  owner: Owner | undefined,
): Promise<void> {
  await Deno.writeTextFile(path, text, { mode: 0o600 });
  if (owner !== undefined) await Deno.chown(path, owner.uid, owner.gid);
}

/** PostgreSQL and PgBouncer refuse to run as root. */
export async function unprivilegedOwner(): Promise<Owner | undefined> {
  if (Deno.uid() !== 0) return undefined;
  for (const user of ["postgres", "nobody"]) {
    try {
      return {
        uid: Number(await output("id", ["-u", user])),
        gid: Number(await output("id", ["-g", user])),
      };
    } catch {
      continue; // No such user here.
    }
  }
  throw new Error(
    "PostgreSQL does not run as root, and there is neither a user postgres nor " +
      "nobody. Set TEST_DATABASE_URL",
  );
}

/** A folder that `owner` can reach: the usual place for temporary files may be private to root. */
export async function makeFolder(owner: Owner | undefined): Promise<string> {
  const prefix = "dsproxy_postgres_";
  const folder = await Deno.makeTempDir({ prefix });
  if (owner === undefined) return folder;
  await Deno.chown(folder, owner.uid, owner.gid);
  try {
    await output("test", ["-w", folder], owner);
    return folder;
  } catch {
    await Deno.remove(folder);
    const other = await Deno.makeTempDir({ dir: "/tmp", prefix });
    await Deno.chown(other, owner.uid, owner.gid);
    return other;
  }
}
