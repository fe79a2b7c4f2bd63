/** Opens a connection with as much as the server allows. */
import { createClient, ErrorReply, RedisClient as RedisPackage } from "@redis/client";

export interface RedisAddress {
  /**
   * It is `redis[s]://[[user][:password]@]host[:port][/database]`, or `unix://…`; what it says wins
   * over the other members.
   */
  readonly url?: string;
  /** The default is `localhost`. */
  readonly host?: string;
  /** The default is 6379. */
  readonly port?: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: boolean;
  readonly database?: number;
}

export type Target = ReturnType<typeof targetOf>;
export type RedisClient = ReturnType<typeof openClient>;

export interface Features {
  /** It is true when Redis says when a key changes that was read over this connection. */
  readonly tracking: boolean;
  /** It is the version of the protocol; tracking needs 3. */
  readonly protocol: 2 | 3;
}

/** A lost SYN packet is sent again after one second; it leaves time for the handshake. */
const TCP_TIMEOUT_MS = 2000;

/** Returns what to connect to, from the URL where there is one; a password may stand beside it. */
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

/**
 * Opens a client. The database is chosen later: who has none, such as a Sentinel, is to be told by
 * name first.
 */
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
    disableOfflineQueue: true,
    // There is no timer a command: its own covers only what is not yet written.
    commandOptions: { timeout: 0 },
    disableClientInfo: true,
    maintNotifications: "disabled",
  });
}

/**
 * Returns what to try after a handshake that failed; undefined when that was not for want of a
 * feature.
 */
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
