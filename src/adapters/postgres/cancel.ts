/** The one way to make a server give up a statement whose answer is no longer awaited. */
import pg from "pg";
import type { Channel } from "./tls.ts";

/** Where a connection was made to; `host` is an address, or the folder of a Unix socket. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly channel: Channel;
}

/** What the server tells each connection, for this purpose. */
export interface BackendKey {
  readonly processID: number;
  readonly secretKey: number;
}

/** Parts of the driver's connection that its types leave out. */
interface CancelConnection extends pg.Connection {
  connect(portOrPath: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: number): void;
}

/**
 * Asks for it on a connection of its own, as the protocol wants, and waits for the server to take
 * note. The server may ignore that, or be out of reach: nobody is told, as there is nothing more to
 * be done.
 */
export function cancelStatement(
  { host, port, channel }: Endpoint,
  key: BackendKey,
  limitMs: number,
): Promise<void> {
  return new Promise((resolve) => {
    const connection = new pg.Connection({ ssl: channel }) as CancelConnection;
    const request = () => connection.cancel(key.processID, key.secretKey);
    const end = () => {
      clearTimeout(timer);
      connection.stream.destroy();
      resolve();
    };
    const timer = setTimeout(end, limitMs);
    connection.on("connect", () => channel === false ? request() : connection.requestSsl());
    connection.on("sslconnect", request);
    connection.on("error", end);
    connection.on("end", end);
    if (host.startsWith("/")) connection.connect(socketPath(host, port));
    else connection.connect(port, host);
  });
}

function socketPath(folder: string, port: number): string {
  return `${folder}/.s.PGSQL.${port}`;
}
