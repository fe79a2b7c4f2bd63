/**
 * Makes one connection from a list of hosts: it tries every address and every channel, and takes
 * only a server that is of the kind wanted, as libpq does.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import pg from "pg";
import { withDeadline } from "../../deadline.ts";
import { reasonOf } from "../../errors.ts";
import type { TargetSessionAttrs } from "../../libpq.ts";
import type { Endpoint } from "./cancel.ts";
import { Connection, type Login, type ServerState } from "./connection.ts";
import {
  type Channel,
  channels,
  isSocketFolder,
  mayTryNextChannel,
  type TlsOptions,
} from "./tls.ts";

export interface Host {
  /** It is a name, an address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
}

export interface ConnectOptions extends TlsOptions {
  /** They are tried in this order; all of them are one database. */
  readonly hosts: readonly Host[];
  readonly user: string;
  /** It is asked for each new connection, so that it can be changed at any time. */
  readonly password: () => string | Promise<string>;
  readonly database: string;
  readonly targetSessionAttrs?: TargetSessionAttrs;
  /** It is shown in `pg_stat_activity`; the default is `dsproxy`. */
  readonly applicationName?: string;
  /** Each address has so long; the default is 3 s. */
  readonly connectTimeoutMs?: number;
}

export interface Connected {
  readonly connection: Connection;
  readonly state: ServerState;
  /** It is false for the second choice, which is worth another look before long. */
  readonly isPreferred: boolean;
}

/** Says that no server of the list could be connected to, or none is of the kind wanted. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";

  /** @param code the SQLSTATE with which the last of them refused, if one did */
  constructor(message: string, readonly code: string | undefined, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/** A lost SYN packet is sent again after one second, and a second time after two more. */
const CONNECT_TIMEOUT_MS = 3_000;
/**
 * All addresses together have so many timeouts: a name with many dead ones must not take all day.
 */
const MOST_TIMEOUTS = 4;

/**
 * Connects to the first server that is fit. Addresses are looked up anew each time.
 * @throws ConnectError, or the signal's reason
 */
export async function connect(options: ConnectOptions, signal: AbortSignal): Promise<Connected> {
  const wanted = options.targetSessionAttrs ?? "prefer-read-write";
  const failures: Failure[] = [];
  let secondChoice: Connected | undefined;
  for await (const found of servers(options, signal, failures)) {
    const choice = choiceOf(wanted, found.state);
    if (choice === "first") {
      await secondChoice?.connection.close();
      return { ...found, isPreferred: true };
    }
    if (choice === "none") failures.push({ host: found.host, reason: describeState(found.state) });
    if (choice === "second" && secondChoice === undefined) {
      secondChoice = { ...found, isPreferred: false };
    } else await found.connection.close();
  }
  if (secondChoice !== undefined) return secondChoice;
  signal.throwIfAborted();
  throw connectError(options, failures);
}

/** Names hosts as people write them: `db1:5432,db2:5432`. */
export function describeHosts(hosts: readonly Host[]): string {
  return hosts.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`).join(
    ",",
  );
}

interface Failure {
  readonly host: Host;
  readonly reason: unknown;
}

interface Found {
  readonly host: Host;
  readonly connection: Connection;
  readonly state: ServerState;
}

/** Yields the servers that let us in, address after address; the others are added to `failures`. */
async function* servers(
  options: ConnectOptions,
  signal: AbortSignal,
  failures: Failure[],
): AsyncGenerator<Found> {
  const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const giveUpAtMs = performance.now() + MOST_TIMEOUTS * timeoutMs;
  const { user, database, applicationName = "dsproxy" } = options;
  const login = { user, database, applicationName, password: await passwordOf(options) };
  for (const host of options.hosts) {
    const ways = channels(options, host.host);
    try {
      for (const address of await addressesOf(host.host, timeoutMs)) {
        const attempt: Attempt = {
          login,
          signal,
          giveUpAtMs: Math.min(giveUpAtMs, performance.now() + timeoutMs),
        };
        if (performance.now() >= giveUpAtMs) {
          throw new Error("not tried, as the others took all the time");
        }
        const opened = await openFirst({ host: address, port: host.port }, ways, attempt).catch(
          (reason) => {
            failures.push({ host, reason });
          },
        );
        if (opened) yield { host, ...opened };
      }
    } catch (reason) {
      failures.push({ host, reason });
    }
  }
}

/**
 * Asks for the password, more than once where that fails: a file that is being exchanged, say, may
 * be readable the next time.
 */
async function passwordOf({ password }: ConnectOptions): Promise<string> {
  try {
    return await password();
  } catch (error) {
    const message = `Cannot read the password for PostgreSQL: ${reasonOf(error)}`;
    throw new ConnectError(message, undefined, { cause: error });
  }
}

async function addressesOf(host: string, limitMs: number): Promise<string[]> {
  if (isSocketFolder(host) || isIP(host) !== 0) return [host];
  const found = await withDeadline(lookup(host, { all: true }), limitMs, "The name service");
  return [...new Set(found.map(({ address }) => address))];
}

interface Attempt {
  readonly login: Login;
  readonly signal: AbortSignal;
  /** It is a time by `performance.now()`. */
  readonly giveUpAtMs: number;
}

type Opened = Pick<Found, "connection" | "state">;

async function openFirst(
  at: Host,
  [channel, ...others]: readonly Channel[],
  attempt: Attempt,
): Promise<Opened> {
  let answered = false;
  try {
    return await openAt({ ...at, channel: channel! }, attempt, () => answered = true);
  } catch (error) {
    const isLate = performance.now() >= attempt.giveUpAtMs;
    if (others.length === 0 || isLate || !mayTryNextChannel(error, answered)) throw error;
    return await openFirst(at, others, attempt);
  }
}

async function openAt(
  endpoint: Endpoint,
  attempt: Attempt,
  onAnswered: () => void,
): Promise<Opened> {
  const { login, signal, giveUpAtMs } = attempt;
  const leftMs = () => Math.max(1, Math.ceil(giveUpAtMs - performance.now()));
  const connection = await Connection.open(endpoint, login, {
    limitMs: leftMs(),
    signal,
    onAnswered,
  });
  try {
    return { connection, state: await withDeadline(connection.state(), leftMs(), "The server") };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

function choiceOf(
  wanted: TargetSessionAttrs,
  { inRecovery, readOnly }: ServerState,
): "first" | "second" | "none" {
  switch (wanted) {
    case "any":
      return "first";
    case "read-write":
      return readOnly ? "none" : "first";
    case "read-only":
      return readOnly ? "first" : "none";
    case "primary":
      return inRecovery ? "none" : "first";
    case "standby":
      return inRecovery ? "first" : "none";
    case "prefer-standby":
      return inRecovery ? "first" : "second";
    case "prefer-read-write":
      return !readOnly ? "first" : inRecovery ? "none" : "second";
  }
}

function describeState({ inRecovery, readOnly }: ServerState): string {
  return inRecovery ? "is a standby" : readOnly ? "is read-only" : "is a primary that takes writes";
}

function connectError(
  { hosts, targetSessionAttrs = "prefer-read-write" }: ConnectOptions,
  failures: readonly Failure[],
): ConnectError {
  const lines = failures.map(({ host, reason }) => `${describeHosts([host])}: ${reasonOf(reason)}`);
  const states = failures.filter(({ reason }) => typeof reason === "string");
  const wanted = states.length > 0 ? ` as target_session_attrs=${targetSessionAttrs} wants it` : "";
  const last = failures.findLast(({ reason }) => reason instanceof pg.DatabaseError)?.reason;
  const code = last instanceof pg.DatabaseError ? last.code : undefined;
  const message = `Cannot connect to PostgreSQL at ${describeHosts(hosts)}${wanted}: ${
    [...new Set(lines)].join("; ")
  }`;
  return new ConnectError(message, code, { cause: failures.at(-1)?.reason });
}
