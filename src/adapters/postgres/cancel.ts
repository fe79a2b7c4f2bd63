/**
 * Makes a server give up a statement whose answer is no longer awaited; there is no other way in
 * this folder.
 */
import pg from "pg";
import type { Channel } from "./tls.ts";

/** A connection was made to here; `host` is an address, or the folder of a Unix socket. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly channel: Channel;
}

/** The server tells each connection this, for the purpose of cancelling. */
export interface BackendKey {
  readonly processID: number;
  readonly secretKey: number;
}

/** The driver's types leave out these parts of its connection. */
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
