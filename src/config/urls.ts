/** Reads what a URL says of a server, and makes it fit to be shown to people. */
import {
  host,
  type HostPort,
  hosts,
  integer,
  InvalidValue,
  oneOf,
  type Parser,
  pathText,
  port,
  ports,
} from "./parsers.ts";
import {
  SSL_MODES,
  type SslMode,
  TARGET_SESSION_ATTRS,
  type TargetSessionAttrs,
} from "../libpq.ts";

/** A URL says this of PostgreSQL; what it leaves out is undefined. */
interface DatabaseUrl {
  readonly hosts: readonly string[] | undefined;
  /** There are as many as hosts, or one for all of them. */
  readonly ports: readonly number[] | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string | undefined;
  readonly sslMode: SslMode | undefined;
  /** It is a path. */
  readonly sslRootCert: string | undefined;
  readonly sessionAttrs: TargetSessionAttrs | undefined;
  readonly applicationName: string | undefined;
  readonly connectTimeoutMs: number | undefined;
}

const DATABASE_SCHEMES = ["postgres:", "postgresql:"];
const DATABASE_PARAMETERS = [
  "sslmode",
  "sslrootcert",
  "target_session_attrs",
  "application_name",
  "connect_timeout",
  "host",
  "port",
];
const DEFAULT_DATABASE_PORT = 5432;

/**
 * Reads `postgres://user:password@host:port,host:port/database?sslmode=require&…`; a folder as
 * host, `%2Frun%2Fpostgresql`, is a Unix socket.
 */
export function databaseUrl(value: string): DatabaseUrl {
  const { servers, rest } = splitServers(value);
  const url = serverUrl(rest, DATABASE_SCHEMES, DATABASE_PARAMETERS);
  const parameter = <T>(name: string, parse: Parser<T>): T | undefined => {
    const text = url.searchParams.get(name);
    return text ? within(name, () => parse(text)) : undefined;
  };
  const named = servers === "" ? [] : servers.split(",").map(serverOf);
  const someHavePorts = named.some((server) => server.port !== undefined);
  return {
    hosts: parameter("host", hosts) ??
      (named.length > 0 ? named.map((server) => server.host) : undefined),
    ports: parameter("port", ports) ??
      (someHavePorts ? named.map((server) => server.port ?? DEFAULT_DATABASE_PORT) : undefined),
    user: decode(url.username),
    password: decode(url.password),
    database: decode(url.pathname.slice(1)),
    sslMode: parameter("sslmode", oneOf(...SSL_MODES)),
    sslRootCert: parameter("sslrootcert", pathText),
    sessionAttrs: parameter("target_session_attrs", oneOf(...TARGET_SESSION_ATTRS)),
    applicationName: parameter("application_name", pathText),
    connectTimeoutMs: parameter("connect_timeout", (text) => 1000 * integer(1, 600)(text)),
  };
}

/** A list of hosts is no part of the URL standard: it is cut out before the rest is read. */
function splitServers(value: string): { servers: string; rest: string } {
  const parts = /^([a-z]+:\/\/)([^/?#]*@)?([^/?#@]*)(.*)$/is.exec(value);
  if (parts === null) return { servers: "", rest: value };
  const [, scheme = "", login = "", servers = "", path = ""] = parts;
  // A login needs a host to belong to.
  return { servers, rest: `${scheme}${login}${login === "" && servers === "" ? "" : "h"}${path}` };
}

function serverOf(item: string): { host: string; port: number | undefined } {
  const [, name = "", portText] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(item) ?? [];
  const decoded = decode(name) ?? "";
  return {
    host: decoded.startsWith("/") ? pathText(decoded) : host(decoded),
    port: portText ? port(portText) : undefined,
  };
}

/**
 * A login without a host reads like a host with a port that is none: what is no server may be a
 * password.
 */
function isServer(item: string): boolean {
  try {
    serverOf(item);
    return true;
  } catch (error) {
    if (error instanceof InvalidValue) return false;
    throw error;
  }
}

/** Says which parameter a problem is about. */
function within<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new InvalidValue(`has a ${name} that ${error.message}`);
  }
}

/** A URL says this of Redis; what it leaves out is undefined. */
interface RedisUrl {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  readonly tls: boolean;
}

/** Reads `redis://user:password@host:port/database`, or `rediss://` for TLS. */
export function redisUrl(value: string): RedisUrl {
  const url = serverUrl(value, ["redis:", "rediss:"], []);
  const database = decode(url.pathname.slice(1));
  if (database !== undefined && !/^[0-9]{1,5}$/.test(database)) {
    throw new InvalidValue("has a database that is not a number; end it with /0, /1 …");
  }
  return { ...authority(url), database: Number(database ?? 0), tls: url.protocol === "rediss:" };
}

/** A URL says this of RabbitMQ; what it leaves out is as RabbitMQ has it at first. */
interface RabbitmqUrl {
  readonly hosts: readonly HostPort[];
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  readonly tls: boolean;
}

/** Reads `amqp://user:password@host:port,host:port/vhost`, or `amqps://` for TLS. */
export function rabbitmqUrl(value: string): RabbitmqUrl {
  const { servers, rest } = splitServers(value);
  const url = serverUrl(rest, ["amqp:", "amqps:"], []);
  const tls = url.protocol === "amqps:";
  const named = servers === "" ? ["localhost"] : servers.split(",");
  return {
    hosts: named.map(serverOf).map((server) => ({
      // A folder is no name of a host.
      host: host(server.host),
      port: server.port ?? (tls ? 5671 : 5672),
    })),
    user: decode(url.username) ?? "guest",
    password: decode(url.password) ?? "guest",
    vhost: decode(url.pathname.slice(1)) ?? "/",
    tls,
  };
}

function serverUrl(value: string, schemes: readonly string[], parameters: readonly string[]): URL {
  const url = plainUrl(value);
  if (url === undefined) {
    throw new InvalidValue(
      "is not a URL; special characters in its password must be percent-encoded " +
        "(# is %23, / is %2F)",
    );
  }
  const named = schemes.map((scheme) => `${scheme}//`).join(" or ");
  if (!schemes.includes(url.protocol)) throw new InvalidValue(`does not begin with ${named}`);
  for (const name of url.searchParams.keys()) {
    if (parameters.includes(name)) continue;
    const known = parameters.length > 0
      ? `known are ${parameters.join(" and ")}`
      : "none are known";
    throw new InvalidValue(
      `has the parameter ${JSON.stringify(name)}, which is not supported; remove it (${known})`,
    );
  }
  return url;
}

function authority(url: URL) {
  const hostname = decode(url.hostname);
  return {
    host: hostname === undefined ? undefined : host(hostname),
    port: url.port === "" ? undefined : port(url.port),
    user: decode(url.username),
    password: decode(url.password),
  };
}

/** Returns undefined for an empty part. */
function decode(part: string): string | undefined {
  try {
    return part === "" ? undefined : decodeURIComponent(part);
  } catch (error) {
    throw new InvalidValue(
      "has a % that is not the start of a percent-encoded character; write it as %25",
      {
        cause: error,
      },
    );
  }
}

/**
 * Returns undefined for what is no URL, and for one that a password with `#`, `/` or `?` has cut in
 * the wrong places.
 */
function plainUrl(value: string): URL | undefined {
  const url = value.includes("://") && URL.canParse(value) ? new URL(value) : undefined;
  return url?.hash === "" && !(url.pathname + url.search).includes("@") ? url : undefined;
}

export const MASK = "****";

/** Returns the URL for human eyes: its password, and parameters that could hide one, are masked. */
export function maskUrl(value: string): string {
  const url = plainUrl(value);
  if (url === undefined) return MASK;
  if (url.password !== "") url.password = MASK;
  for (const name of new Set(url.searchParams.keys())) {
    if (!DATABASE_PARAMETERS.includes(name)) url.searchParams.set(name, MASK);
  }
  return url.href;
}

/** Does as {@link maskUrl} does, and leaves the hosts as they were written. */
export function maskServersUrl(value: string): string {
  const { servers, rest } = splitServers(value);
  const masked = servers.split(",").every(isServer) ? maskUrl(rest) : MASK;
  return masked === MASK
    ? MASK
    : masked.replace(/^([a-z]+:\/\/(?:[^/?#@]*@)?)h?/i, (_, before) => before + servers);
}
