/** A TCP proxy that does to connections what networks do: delays, cuts, silence, a trickle. */
import { delay } from "./services.ts";

/**
 * pass: as it comes; slow: each piece `latencyMs` late; drip: a few bytes at a time; black hole:
 * connections are accepted and nothing gets through; refuse: connections are closed as they come.
 */
export type Weather = "pass" | "slow" | "drip" | "black hole" | "refuse";

const DRIP_BYTES = 16;
const DRIP_MS = 2;

export class FaultProxy implements AsyncDisposable {
  weather: Weather = "pass";
  latencyMs = 0;
  /** The next answer of the server that holds this text gets lost, and its connection breaks. */
  loseAnswer: string | undefined;
  /** How often that has happened. */
  lostAnswers = 0;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #accepting: Promise<void>;

  private constructor(public targetPort: number) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#accepting = this.#acceptAll();
  }

  static to(targetPort: number): FaultProxy {
    return new FaultProxy(targetPort);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  /** `url` with this proxy's port in place of the server's. */
  urlOf(url: string): string {
    const through = new URL(url);
    through.port = String(this.port);
    return through.href;
  }

  /** Breaks every connection there is. */
  cut(): void {
    for (const connection of [...this.#connections]) this.#close(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    await this.#accepting;
  }

  async #acceptAll(): Promise<void> {
    const served: Promise<void>[] = [];
    for await (const client of this.#listener) {
      if (this.weather === "refuse") client.close();
      else served.push(this.#serve(client));
    }
    await Promise.all(served);
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    this.#connections.add(client);
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: this.targetPort });
    } catch {
      return this.#close(client); // The server is down: so is the way to it.
    }
    this.#connections.add(server);
    await Promise.all([this.#pump(client, server, false), this.#pump(server, client, true)]);
  }

  async #pump(from: Deno.TcpConn, to: Deno.TcpConn, answers: boolean): Promise<void> {
    const piece = new Uint8Array(64 * 1024);
    try {
      for (let length = await from.read(piece); length !== null; length = await from.read(piece)) {
        const bytes = piece.subarray(0, length);
        if (answers && this.#isToBeLost(bytes)) break;
        await this.#passOn(bytes, to);
      }
    } catch {
      // One side is gone: the other follows.
    }
    this.#close(from);
    this.#close(to);
  }

  #isToBeLost(bytes: Uint8Array): boolean {
    if (
      this.loseAnswer === undefined || !new TextDecoder().decode(bytes).includes(this.loseAnswer)
    ) return false;
    this.lostAnswers++;
    this.loseAnswer = undefined;
    return true;
  }

  async #passOn(bytes: Uint8Array, to: Deno.TcpConn): Promise<void> {
    while (this.weather === "black hole") await delay(20);
    if (this.weather === "slow") await delay(this.latencyMs);
    const step = this.weather === "drip" ? DRIP_BYTES : bytes.length;
    for (let at = 0; at < bytes.length; at += step) {
      if (this.weather === "drip") await delay(DRIP_MS);
      await writeAll(to, bytes.subarray(at, at + step));
    }
  }

  #close(connection: Deno.TcpConn): void {
    if (!this.#connections.delete(connection)) return;
    connection.close();
  }
}

async function writeAll(to: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await to.write(bytes.subarray(done));
}
