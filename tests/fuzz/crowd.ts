/** Many connections of one kind of bad client, held open until they are told to go. */
import { delay } from "../support/services.ts";
import { ascii } from "./wire.ts";

/** So many at once stay below what a listener lets wait. */
const OPENED_AT_ONCE = 100;
const DRIP_PAUSE_MS = 200;
const DRIPS = 10;

export class Crowd implements AsyncDisposable {
  readonly connections: Deno.TcpConn[] = [];
  #dripping: Promise<void> | undefined;
  #gone = false;

  /** Connects `size` clients, each of which sends `first` as a whole. */
  static async gather(url: string, size: number, first: string): Promise<Crowd> {
    const { hostname, port } = new URL(url);
    const crowd = new Crowd();
    const bytes = ascii(first);
    const join = async () => {
      const connection = await Deno.connect({ hostname, port: Number(port) });
      crowd.connections.push(connection);
      for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
    };
    try {
      for (let left = size; left > 0; left -= OPENED_AT_ONCE) {
        await Promise.all(Array.from({ length: Math.min(left, OPENED_AT_ONCE) }, join));
      }
    } catch (error) {
      await crowd[Symbol.asyncDispose]();
      throw error;
    }
    return crowd;
  }

  /**
   * From now on each client sends one more of these every now and then; but not so often that it
   * gets anywhere.
   */
  drip(piece: string): this {
    const bytes = ascii(piece);
    this.#dripping = (async () => {
      for (let drips = 0; drips < DRIPS && !this.#gone; drips++) {
        for (const connection of this.connections) {
          if (this.#gone) return;
          await connection.write(bytes).catch(() => {}); // The server may have had enough of it.
        }
        await delay(DRIP_PAUSE_MS);
      }
    })();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gone = true;
    for (const connection of this.connections) connection.close();
    await this.#dripping;
  }
}

/**
 * Reads until so many bytes have come or the server has closed, and returns how many they were and
 * how they began.
 */
export async function readBytes(
  connection: Deno.Conn,
  most: number,
): Promise<{ count: number; beginning: string }> {
  const buffer = new Uint8Array(256 * 1024);
  let count = 0;
  let beginning = "";
  while (count < most) {
    const read = await connection.read(buffer).catch(() => null);
    if (read === null) break;
    if (count === 0) beginning = new TextDecoder().decode(buffer.subarray(0, Math.min(read, 100)));
    count += read;
  }
  return { count, beginning };
}
