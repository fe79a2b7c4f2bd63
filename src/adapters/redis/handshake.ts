/** How a connection is opened, with as much as the server allows. */
import { createClient, ErrorReply, RedisClient as RedisPackage } from "@redis/client";

export interface RedisAddress {
  /**
   * `redis[s]://[[user][:password]@]host[:port][/database]`, or `unix://…`; what it says wins over
   * the other members.
   */
  readonly url?: string;
  /** Default `localhost`. */
  readonly host?: string;
  /** Default 6379. */
  readonly port?: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: boolean;
  readonly database?: number;
}

export type Target = ReturnType<typeof targetOf>;
export type RedisClient = ReturnType<typeof openClient>;

export interface Features {
  /** Redis says when a key changes that was read over this connection. */
  readonly tracking: boolean;
  /** The version of the protocol; tracking needs 3. */
  readonly protocol: 2 | 3;
}

const TCP_TIMEOUT_MS = 2000;
/** Commands written or waiting to be; more are refused at once. */
const MAX_QUEUED_COMMANDS = 10_000;

/** What to connect to, from the URL where there is one; a password may stand beside it. */
export function targetOf(
  { url, host = "localhost", port = 6379, tls = false, ...given }: RedisAddress,
) {
  const fromUrl = url === undefined ? undefined : RedisPackage.parseURL(url);
  const socket = fromUrl?.socket ?? (tls ? { host, port, tls } : { host, port, tls });
  return {
    socket,
    username: fromUrl?.username ?? given.username,
    password: fromUrl?.password ?? given.password,
    database: fromUrl?.database ?? given.database,
    label: "path" in socket ? socket.path : `${socket.host}:${socket.port ?? 6379}`,
  };
}

/** The database is chosen later: who has none, such as a Sentinel, is to be told by name first. */
export function openClient(
  { socket, username, password }: Target,
  { tracking, protocol }: Features,
) {
  return createClient({
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    socket: { ...socket, connectTimeout: TCP_TIMEOUT_MS, reconnectStrategy: false },
    // In the older protocol the name is a command of its own, which may be forbidden.
    ...(protocol === 3 && { name: "dsproxy" }),
    RESP: protocol,
    emitInvalidate: tracking,
    commandsQueueMaxLength: MAX_QUEUED_COMMANDS,
    disableOfflineQueue: true,
    // No timer a command: its own covers only what is not yet written.
    commandOptions: { timeout: 0 },
    disableClientInfo: true,
    maintNotifications: "disabled",
  });
}

/** What to try after a handshake that failed; undefined when that was not for want of a feature. */
export function withoutRefused(
  { tracking, protocol }: Features,
  error: unknown,
): Features | undefined {
  if (!(error instanceof ErrorReply)) return undefined;
  const { message } = error;
  if (protocol === 3 && /^NOPROTO|unknown command .?HELLO/i.test(message)) {
    return { tracking: false, protocol: 2 };
  }
  const refused = tracking && /^(NOPERM|ERR) .*['`](client|tracking)\b/i.test(message);
  return refused ? { tracking: false, protocol } : undefined;
}
