/** Bytes to a server as they are, without a client that knows better. */

export class RawConnection implements Disposable {
  readonly #decoder = new TextDecoder("utf-8");
  #received = "";
  closed = false;

  private constructor(readonly connection: Deno.Conn) {}

  static async open(baseUrl: string): Promise<RawConnection> {
    const { hostname, port } = new URL(baseUrl);
    return new RawConnection(await Deno.connect({ hostname, port: Number(port) }));
  }

  /** False when the other side does not take any more. */
  async send(data: string | Uint8Array): Promise<boolean> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    try {
      for (let sent = 0; sent < bytes.length;) {
        sent += await this.connection.write(bytes.subarray(sent));
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Everything received, once `done` holds of it or the other side has closed. */
  async receive(done: (text: string) => boolean): Promise<string> {
    const buffer = new Uint8Array(64 * 1024);
    while (!done(this.#received) && !this.closed) {
      const count = await this.connection.read(buffer).catch(() => null);
      if (count === null) this.closed = true;
      else this.#received += this.#decoder.decode(buffer.subarray(0, count), { stream: true });
    }
    return this.#received;
  }

  untilClosed(): Promise<string> {
    return this.receive(() => false);
  }

  /** How many answers have come in so far. */
  static answers(text: string): number {
    return text.split(/HTTP\/1\.1 \d{3} /).length - 1;
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}
