/**
 * The one table of options. Help, `.env.example`, the permission list and every check come from it.
 */
import {
  ascendingDurationsMs,
  durationMs,
  host,
  hostPort,
  hosts,
  integer,
  keyHashes,
  listenPort,
  oneOf,
  origins,
  type Parser,
  pathText,
  ports,
  sizeBytes,
} from "./parsers.ts";
import { BROKER_OPTIONS } from "./broker_options.ts";
import type { Option } from "./option.ts";
import { TRACING_OPTIONS } from "./tracing_options.ts";
import { databaseUrl, MASK, maskServersUrl, maskUrl, redisUrl } from "./urls.ts";
import { ACK_LEVELS } from "../domain.ts";
import { SSL_MODES, TARGET_SESSION_ATTRS } from "../libpq.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** Help and `.env.example` show them in this order. */
export const OPTIONS = {
  PROXY_PORT: {
    parse: listenPort,
    default: "8080",
    help: "port to listen on; 0 picks a free one; :8080 is read too",
  },
  PROXY_HOST: {
    parse: host,
    default: "0.0.0.0",
    help: "address to listen on; 127.0.0.1 is this machine only",
  },

  STORE: {
    parse: oneOf("sqlite", "postgres"),
    help: "where records end up: sqlite or postgres; default: postgres when DATABASE_URL or a " +
      "DB_* of the connection is set",
  },
  DATABASE_URL: {
    parse: databaseUrl,
    secret: true,
    mask: maskServersUrl,
    help: "postgres://user:password@host:port/database?sslmode=…&sslrootcert=…" +
      "&target_session_attrs=…&application_name=…&connect_timeout=…; " +
      "several hosts as host:port,host:port; what it names wins over DB_*",
  },
  DB_HOST: {
    parse: hosts,
    default: "localhost",
    help: "PostgreSQL server, or several as in host1,host2, or the folder of its Unix socket",
  },
  DB_PORT: { parse: ports, default: "5432", help: "its port, or one for each host" },
  DB_USER: { parse: pathText, default: "postgres", help: "user" },
  DB_PASS: {
    parse: pathText,
    default: "postgres",
    secret: true,
    mayBeEmpty: true,
    help: "password",
  },
  DB_NAME: { parse: pathText, default: "mydb", help: "database" },
  DB_SSLMODE: {
    parse: oneOf(...SSL_MODES),
    default: "prefer",
    help: `TLS as in libpq: ${SSL_MODES.join(", ")}`,
  },
  DB_SSLROOTCERT: {
    parse: pathText,
    help: "file with the certificates (PEM) to trust for PostgreSQL",
  },
  DB_TARGET_SESSION_ATTRS: {
    parse: oneOf(...TARGET_SESSION_ATTRS),
    default: "prefer-read-write",
    help:
      `which of the servers to use, as in libpq: ${
        TARGET_SESSION_ATTRS.slice(0, -1).join(", ")
      }; ` +
      "prefer-read-write: one that takes writes, else a primary that is read-only for now",
  },
  DB_POOL_SIZE: { parse: integer(1, 1000), default: "8", help: "connections to PostgreSQL" },

  CACHE: {
    parse: oneOf("memory", "redis"),
    help: "memory or redis; default: redis when REDIS_ADDR or REDIS_URL is set",
  },
  REDIS_ADDR: {
    parse: hostPort(6379, "REDIS_URL"),
    default: "localhost:6379",
    help: "Redis server, host:port",
  },
  REDIS_URL: {
    parse: redisUrl,
    secret: true,
    mask: maskUrl,
    help: "redis://user:password@host:port/database, rediss:// for TLS; " +
      "what it names wins over REDIS_ADDR and REDIS_PASS",
  },
  REDIS_PASS: { parse: pathText, secret: true, mayBeEmpty: true, help: "Redis password" },
  CACHE_TTL: {
    parse: durationMs(1, 8760 * HOUR_MS),
    default: "5m",
    help: "how long a value stays in the cache",
  },
  CACHE_PREFIX: {
    parse: pathText,
    default: "",
    mayBeEmpty: true,
    help: "put before every Redis key",
  },
  CACHE_LOCAL_MAX: {
    parse: integer(0, 100_000_000),
    default: "100000",
    help: "values cached in this process; 0 = none",
  },

  ...BROKER_OPTIONS,
  DATA_DIR: {
    parse: pathText,
    default: "./data",
    help: "directory of the journal and of the embedded database",
  },
  ACK: {
    parse: oneOf(...ACK_LEVELS),
    default: "durable",
    help: "when a write is answered: accepted (in memory), durable (on disk), replicated (at the " +
      "broker), flushed (in the store)",
  },
  BATCH_SIZE: {
    parse: integer(1, 100_000),
    default: "50",
    help: "this many waiting writes start a flush",
  },
  BATCH_INTERVAL: { parse: durationMs(1, HOUR_MS), default: "2s", help: "so does this much time" },
  BATCH_MAX: { parse: integer(1, 100_000), default: "5000", help: "most writes in one statement" },
  FLUSH_SLOTS: {
    parse: integer(1, 1000),
    help: "most flushes at a time, over all instances that share a Redis (without one, or while " +
      "it is away: of each process); default: no bound",
  },
  JOURNAL_MAX_BYTES: {
    parse: sizeBytes(MIB, 1024 * GIB),
    default: "1GiB",
    help: "a journal of this size accepts no more; at least 4 × MAX_BODY_BYTES",
  },
  JOURNAL_RETAIN: {
    parse: durationMs(0, 8760 * HOUR_MS),
    default: "1h",
    help:
      "writes that the store has are kept for so long within JOURNAL_MAX_BYTES, and sent again " +
      "when the store went back to an older state; 0 = not at all",
  },
  RETENTION: {
    // A number without a unit, which is seconds, is refused: who writes 30 means days.
    parse: durationMs(HOUR_MS, 36_500 * DAY_MS),
    help:
      "records whose ts is older are deleted from the store, as in 90d; never the latest of a " +
      "user_id; default: none is",
  },
  DEAD_LETTER_RETRY: {
    parse: ascendingDurationsMs(1_000, 365 * DAY_MS),
    help: "what the store refused is tried again at these ages, as in 1m,10m,1h,6h,24h; " +
      "default: only by hand",
  },
  ADOPT_FROM: {
    parse: pathText,
    help: "directory with the DATA_DIRs of other instances, on a volume that is shared: writes " +
      "that wait there are brought to PostgreSQL once their instance is gone; default: none are",
  },
  ADOPT_AFTER: {
    parse: durationMs(1_000, 24 * HOUR_MS),
    default: "1m",
    help: "an instance is gone when nobody was at work in its DATA_DIR for so long",
  },
  MAX_BODY_BYTES: { parse: sizeBytes(1, 64 * MIB), default: "1MiB", help: "largest request body" },
  MAX_KEY_BYTES: { parse: sizeBytes(1, KIB), default: "512", help: "longest user_id" },
  MAX_VALUE_BYTES: { parse: sizeBytes(1, 64 * MIB), default: "256KiB", help: "longest value" },

  CORS_ORIGINS: { parse: origins, help: "origins that a browser may call from, comma-separated" },
  ADMIN_KEY: {
    parse: keyHashes,
    secret: true,
    help: "opens the admin routes to who sends a key as Authorization: Bearer …: " +
      "SHA-256 hash of the key in hex (printf %s KEY | sha256sum), or several, comma-separated; " +
      "default: only the admin socket opens them",
  },
  ADMIN_SOCKET: {
    parse: pathText,
    help: "Unix socket of the admin routes, for this user's processes only; the commands use it; " +
      "default: admin.sock in DATA_DIR",
  },
  DASHBOARD: {
    parse: oneOf("on", "off"),
    default: "on",
    help: "on or off: the page at /dashboard and its numbers at /events; no user id is in them",
  },
  SHUTDOWN_GRACE: {
    parse: durationMs(0, HOUR_MS),
    default: "25s",
    help: "longest drain on SIGTERM or SIGINT",
  },
  LOG_LEVEL: {
    parse: oneOf("debug", "info", "warn", "error"),
    default: "info",
    help: "debug, info, warn or error",
  },
  LOG_FORMAT: {
    parse: oneOf("json", "pretty"),
    help: "json or pretty; default: json, but pretty on a terminal",
  },
  ...TRACING_OPTIONS,
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof OPTIONS;
export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[];

/**
 * Users of later versions know these protections. Setting one here is a problem, not something to
 * pass over.
 */
export const RESERVED_NAMES = [
  "API_KEYS",
  "RATE_LIMIT",
  "TLS_CERT",
  "TLS_KEY",
] as const;

type Parsed<O extends Option> = O["parse"] extends Parser<infer T> ? T : never;
/** It holds the value of each option; undefined where there is no default. */
export type Values = {
  readonly [N in OptionName]: (typeof OPTIONS)[N] extends { readonly default: string }
    ? Parsed<(typeof OPTIONS)[N]>
    : Parsed<(typeof OPTIONS)[N]> | undefined;
};

export function optionOf(name: OptionName): Option {
  return OPTIONS[name];
}

/**
 * Returns every name that is read from the environment: the program needs permission for these and
 * no others.
 */
export function environmentNames(): string[] {
  return [
    ...OPTION_NAMES.flatMap((name) => optionOf(name).secret ? [name, `${name}_FILE`] : [name]),
    ...RESERVED_NAMES,
  ];
}

/** Returns the text for human eyes. */
export function shown(name: OptionName, value: string): string {
  const option = optionOf(name);
  if (value === "") return value;
  return option.mask?.(value) ?? (option.secret ? MASK : value);
}

/** Returns one line for each option, for `--help`. */
export function optionsHelp(): string {
  const width = Math.max(...OPTION_NAMES.map((name) => name.length));
  return OPTION_NAMES.map((name) => {
    const { default: value, help, secret } = optionOf(name);
    const notes = [value ? `default ${value}` : "", secret ? `or ${name}_FILE` : ""].filter((
      note,
    ) => note !== "");
    return `  ${name.padEnd(width)}  ${help}${notes.length > 0 ? ` (${notes.join("; ")})` : ""}\n`;
  }).join("");
}

/** Returns the content of `.env.example`: every option, commented out, at its default. */
export function envExample(): string {
  const entries = OPTION_NAMES.map((name) => {
    const { default: value = "", help } = optionOf(name);
    return `# ${help}\n# ${name}=${value}\n`;
  });
  return `${ENV_EXAMPLE_HEADER}\n${entries.join("\n")}`;
}

const SECRET_NAMES = OPTION_NAMES.filter((name) => optionOf(name).secret);

const ENV_EXAMPLE_HEADER = [
  "# Copy to .env and uncomment what you change; the environment wins over this file.",
  "# Durations: 250ms, 2s, 5m, 1m30s, 30d; a bare number is seconds. " +
  "Sizes: 64KiB, 1GiB, 1MB; a bare number is bytes.",
  `# Instead of ${SECRET_NAMES.join(", ")},`,
  "# the same name with _FILE may name a file that holds it.",
  "# Quote a value that contains # or blanks at its ends.",
  "",
].join("\n");
