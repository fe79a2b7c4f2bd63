/** What all clients of the library have in common here: where the brokers are, and how they end. */
import { Base, type BaseOptions, type ConnectionPool } from "./library.ts";
import { withDeadline } from "../../deadline.ts";

export interface KafkaOptions {
  /** Any of them tells of the others. */
  readonly brokers: readonly { readonly host: string; readonly port: number }[];
  /** Workers share it as the group of the same name. */
  readonly topic: string;
  /** The topic is made with so many partitions where it is missing. */
  readonly partitions: number;
  /** Each is kept on so many servers; the cluster's own choice where undefined. */
  readonly replicas: number | undefined;
  /** The certificates, in PEM, are those by which the server's is checked. */
  readonly tls: { readonly rootCert: string | undefined } | undefined;
  readonly sasl: {
    readonly mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512";
    readonly user: string;
    readonly password: string;
  } | undefined;
  /** A call waits for so long; the default is 10,000. */
  readonly callTimeoutMs?: number;
}

export const CALL_TIMEOUT_MS = 10_000;
const RETRY_DELAY_MS = 250;
/** Of a client that is not needed any more nobody waits for longer. */
const CLOSE_LIMIT_MS = 2_000;

export function clientOptions({ brokers, tls, sasl }: KafkaOptions): BaseOptions {
  return {
    clientId: "dsproxy",
    bootstrapBrokers: brokers.map(({ host, port }) => ({ host, port })),
    connectTimeout: 3_000,
    requestTimeout: CALL_TIMEOUT_MS,
    // Without a number the library tries again for ever, and keeps the error of each try.
    retries: 3,
    // A call that fails because its client is closed is to be over with it.
    retryDelay: (client) => (client as Base).closed ? 0 : RETRY_DELAY_MS,
    autocreateTopics: false,
    ...(tls !== undefined && { tls: tls.rootCert === undefined ? {} : { ca: tls.rootCert } }),
    ...(sasl !== undefined && {
      sasl: { mechanism: sasl.mechanism, username: sasl.user, password: sasl.password },
    }),
  };
}

/**
 * The library listens for one error of a connection at most: another, as when the server resets a
 * connection after it refused the password, would end the process.
 */
export function guard(pool: ConnectionPool): void {
  // Who waits for the connection is told of its first error.
  pool.on("connecting", ({ connection }) => connection.on("error", () => {}));
}

/** Never rejects: what does not end in order is cut off. */
export function closeClient(client: Base, close = () => client.close()): Promise<void> {
  return cutOff(client.connections, async () => {
    try {
      await withDeadline(close(), CLOSE_LIMIT_MS, "closing");
    } catch {
      // It could not take its leave: whoever is at the other end finds out by itself.
      await withDeadline(Base.prototype.close.call(client), CLOSE_LIMIT_MS, "closing");
    }
  });
}

export function closePool(pool: ConnectionPool): Promise<void> {
  return cutOff(pool, () => withDeadline(pool.close(), CLOSE_LIMIT_MS, "closing"));
}

async function cutOff(pool: ConnectionPool, close: () => Promise<void>): Promise<void> {
  const connections = [...pool].map(([, connection]) => connection);
  try {
    await close();
  } catch {
    // What is left of it are its sockets.
  } finally {
    for (const { socket } of connections) socket?.destroy();
  }
}
