/**
 * The configuration comes from the environment, then from `.env` in the working directory, then
 * from defaults. Only {@link loadConfigFromProcess} reads the environment, the rest is pure. Every
 * problem is reported at once.
 */
import { join } from "node:path";
import {
  type CheckedOptions,
  ConfigLoader,
  type ConfigProblems,
  type ConfigSources,
  type Setting,
} from "./loader.ts";
import type { Values } from "./options.ts";
import type { HostPort } from "./parsers.ts";
import type { SslMode, TargetSessionAttrs } from "../libpq.ts";
import type { AckLevel } from "../domain.ts";
import { reasonOf } from "../errors.ts";
import {
  type JournalQueueConfig,
  type KafkaConfig,
  queueConfig,
  type RabbitmqConfig,
} from "./queue.ts";
import { type TracingConfig, tracingConfig } from "./tracing.ts";

export type { BrokerTls, KafkaConfig, KafkaSasl, RabbitmqConfig } from "./queue.ts";

export interface Config {
  /** Port 0 picks a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly store: SqliteConfig | PostgresConfig;
  readonly cache: MemoryCacheConfig | RedisCacheConfig;
  /**
   * `api` accepts and forwards to the broker, `worker` brings from the broker to the store, `all`
   * does both.
   */
  readonly role: "all" | "api" | "worker";
  /** Accepted writes go from the journal to the store by this way. */
  readonly queue: JournalQueueConfig | RabbitmqConfig | KafkaConfig;
  /** `size` waiting writes or `intervalMs` start a flush; one statement has at most `max`. */
  readonly batch: { readonly size: number; readonly intervalMs: number; readonly max: number };
  /**
   * So many flushes are under way at a time, over all instances; there is no
   * bound where it is left out.
   */
  readonly flushSlots?: number;
  /** What the store has stays for `retainMs`, within `maxBytes`; 0 = not at all. */
  readonly journal: {
    readonly dir: string;
    readonly maxBytes: number;
    readonly retainMs: number;
  };
  /** What instances that are gone have left in the directories in `from` is brought to the store. */
  readonly adopt: { readonly from: string; readonly afterMs: number } | undefined;
  readonly limits: {
    readonly bodyBytes: number;
    readonly keyBytes: number;
    readonly valueBytes: number;
  };
  /** Rows are deleted when they are older and hidden; none is where this is missing. */
  readonly retentionMs?: number;
  /** Dead letters are tried again at these ages, which ascend; at none where there are none. */
  readonly deadLetterRetryMs: readonly number[];
  readonly ack: AckLevel;
  readonly corsOrigins: readonly string[];
  readonly admin: {
    readonly socketPath: string;
    /** Each is the SHA-256 in hex of a key that opens the admin routes over the network. */
    readonly keyHashes: readonly string[];
  };
  /** It says whether the page and its numbers are there. */
  readonly dashboard: boolean;
  readonly shutdownGraceMs: number;
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly format: "json" | "pretty";
  };
  /** Undefined where nothing is traced. */
  readonly tracing?: TracingConfig;
  readonly dataDir: string;
}

interface SqliteConfig {
  readonly kind: "sqlite";
  readonly path: string;
}

interface PostgresConfig {
  readonly kind: "postgres";
  /**
   * They are tried in this order; a host that begins with a slash is the folder of a Unix socket.
   */
  readonly hosts: readonly HostPort[];
  readonly user: string;
  /** Returns it as it is now: it is read anew from the file that holds it, if one does. */
  readonly password: () => string;
  readonly database: string;
  readonly sslMode: SslMode;
  /** It holds certificates in PEM. */
  readonly sslRootCert?: string;
  readonly targetSessionAttrs: TargetSessionAttrs;
  readonly applicationName?: string;
  readonly connectTimeoutMs?: number;
  readonly poolSize: number;
}

/** Names where the store is, for people, and to tell one place from another. */
export function storePlace(store: SqliteConfig | PostgresConfig): string {
  if (store.kind === "sqlite") return store.path;
  return `database ${store.database} on ${
    store.hosts.map(({ host, port }) => `${host}:${port}`).join(",")
  }`;
}

interface MemoryCacheConfig {
  readonly kind: "memory";
  readonly ttlMs: number;
  /** So many entries are kept in this process; 0 = none. */
  readonly localMax: number;
}

interface RedisCacheConfig extends Omit<MemoryCacheConfig, "kind"> {
  readonly kind: "redis";
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls: boolean;
  readonly database: number;
  readonly prefix: string;
}

interface LoadedConfig {
  readonly config: Config;
  /** They are in the order of the option table. */
  readonly settings: readonly Setting[];
}

export function loadConfig(sources: ConfigSources): LoadedConfig | ConfigProblems {
  const checked = new ConfigLoader(sources).load();
  if ("problems" in checked) return checked;
  return { config: buildConfig(checked), settings: checked.settings };
}

/**
 * Does as {@link loadConfig} does, and reads only the variables of the option table, `.env` and the
 * files that these name.
 */
export function loadConfigFromProcess(defaultHost?: string): LoadedConfig | ConfigProblems {
  const dotenv = readDotenv();
  const loaded = loadConfig({
    env: (name) => Deno.env.get(name),
    dotenvText: dotenv.text,
    readFile: (path) => Deno.readTextFileSync(path),
    isTerminal: Deno.stderr.isTerminal(),
    ...(defaultHost !== undefined && { defaultHost }),
  });
  if (dotenv.problem === undefined) return loaded;
  return {
    problems: [
      { variable: ".env", message: dotenv.problem },
      ..."problems" in loaded ? loaded.problems : [],
    ],
  };
}

function readDotenv(): { text?: string; problem?: string } {
  try {
    return { text: Deno.readTextFileSync(".env") };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    return { problem: `.env cannot be read: ${reasonOf(error)}. Make it readable or remove it.` };
  }
}

/** Returns a line for each option, for `--print-config`: name, effective value, origin. */
export function describeConfig(settings: readonly Setting[]): string {
  const width = Math.max(...settings.map(({ name }) => name.length));
  const lines = settings.map(({ name, shown = "-", origin }) =>
    `${name.padEnd(width)}  ${shown || '""'}  (${origin})\n`
  );
  return lines.join("");
}

function buildConfig({ values, ...others }: CheckedOptions): Config {
  return {
    listen: { host: values.PROXY_HOST, port: values.PROXY_PORT },
    store: values.STORE === "postgres" ? postgresConfig(values, others) : {
      kind: "sqlite",
      path: join(values.DATA_DIR, "dsproxy.db"),
    },
    cache: values.CACHE === "redis" ? redisConfig(values) : {
      kind: "memory",
      ttlMs: values.CACHE_TTL,
      localMax: values.CACHE_LOCAL_MAX,
    },
    role: values.ROLE,
    queue: queueConfig(values, others.rootCerts),
    batch: { size: values.BATCH_SIZE, intervalMs: values.BATCH_INTERVAL, max: values.BATCH_MAX },
    ...(values.FLUSH_SLOTS !== undefined && { flushSlots: values.FLUSH_SLOTS }),
    journal: {
      dir: join(values.DATA_DIR, "journal"),
      maxBytes: values.JOURNAL_MAX_BYTES,
      retainMs: values.JOURNAL_RETAIN,
    },
    adopt: values.ADOPT_FROM === undefined
      ? undefined
      : { from: values.ADOPT_FROM, afterMs: values.ADOPT_AFTER },
    limits: {
      bodyBytes: values.MAX_BODY_BYTES,
      keyBytes: values.MAX_KEY_BYTES,
      valueBytes: values.MAX_VALUE_BYTES,
    },
    ...(values.RETENTION !== undefined && { retentionMs: values.RETENTION }),
    deadLetterRetryMs: values.DEAD_LETTER_RETRY ?? [],
    ack: values.ACK,
    corsOrigins: values.CORS_ORIGINS ?? [],
    admin: {
      // The loader has chosen one where none was given.
      socketPath: values.ADMIN_SOCKET!,
      keyHashes: values.ADMIN_KEY ?? [],
    },
    dashboard: values.DASHBOARD === "on",
    shutdownGraceMs: values.SHUTDOWN_GRACE,
    log: { level: values.LOG_LEVEL, format: values.LOG_FORMAT ?? "json" },
    ...withTracing(values),
    dataDir: values.DATA_DIR,
  };
}

function withTracing(values: Values): Pick<Config, "tracing"> {
  const tracing = tracingConfig(values);
  return tracing === undefined ? {} : { tracing };
}

function postgresConfig(
  values: Values,
  { rootCerts, databasePassword }: Pick<CheckedOptions, "rootCerts" | "databasePassword">,
): PostgresConfig {
  const sslRootCert = rootCerts.DB_SSLROOTCERT;
  const { DB_HOST: hosts, DB_PORT: ports, DATABASE_URL: url } = values;
  return {
    kind: "postgres",
    hosts: hosts.map((host, i) => ({ host, port: ports.length === 1 ? ports[0]! : ports[i]! })),
    user: values.DB_USER,
    password: databasePassword,
    database: values.DB_NAME,
    sslMode: values.DB_SSLMODE,
    ...(sslRootCert !== undefined && { sslRootCert }),
    targetSessionAttrs: values.DB_TARGET_SESSION_ATTRS,
    ...(url?.applicationName !== undefined && { applicationName: url.applicationName }),
    ...(url?.connectTimeoutMs !== undefined && { connectTimeoutMs: url.connectTimeoutMs }),
    poolSize: values.DB_POOL_SIZE,
  };
}

function redisConfig(values: Values): RedisCacheConfig {
  const url = values.REDIS_URL;
  return {
    kind: "redis",
    ...values.REDIS_ADDR,
    ...(url?.user !== undefined && { username: url.user }),
    // An empty password is none.
    ...(values.REDIS_PASS && { password: values.REDIS_PASS }),
    tls: url?.tls ?? false,
    database: url?.database ?? 0,
    prefix: values.CACHE_PREFIX,
    ttlMs: values.CACHE_TTL,
    localMax: values.CACHE_LOCAL_MAX,
  };
}
