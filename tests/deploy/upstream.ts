/** A server that stands in for an API server, and does what a broken one may do. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createConnection } from "node:net";

/**
 * What a server does with a request that it has read to its end: it answers with a status, breaks
 * the connection off as one that is killed, or says nothing.
 */
type Deed = number | "breaks off" | "is silent";

export interface Asked {
  readonly by: string;
  readonly method: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** Two of them behind one nginx: to the first request one does `first`, to all others both `then`. */
export class Upstreams implements AsyncDisposable {
  readonly asked: Asked[] = [];
  connections = 0;
  #servers: Server[] = [];

  private constructor(private readonly first: Deed, private readonly then: Deed) {}

  static async start(first: Deed, then: Deed = 202): Promise<Upstreams> {
    const upstreams = new Upstreams(first, then);
    for (const name of ["one", "two"]) await upstreams.#listen(name);
    return upstreams;
  }

  get ports(): readonly [number, number] {
    const [one, two] = this.#servers.map((server) => (server.address() as AddressInfo).port);
    return [one!, two!];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    }
  }

  async #listen(name: string): Promise<void> {
    const server = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8");
      request.on("data", (chunk: string) => body += chunk);
      request.on("end", () => {
        const { method = "", headers } = request;
        const deed = this.asked.length === 0 ? this.first : this.then;
        this.asked.push({ by: name, method, body, headers });
        if (deed === "breaks off") request.socket.destroy();
        else if (deed !== "is silent") {
          response.writeHead(deed, { "content-length": name.length }).end(name);
        }
      });
    });
    server.on("connection", () => this.connections++);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#servers.push(server);
  }
}

/** Sends one request, and reads its status: `fetch` would send some of them again by itself. */
export async function send(
  port: number,
  method: string,
  path: string,
  body = "",
): Promise<{ status: number; text: string }> {
  const socket = createConnection(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => text += chunk);
  socket.write(
    `${method} ${path} HTTP/1.1\r\nHost: front.test:${port}\r\nConnection: close\r\n` +
      `Content-Length: ${new TextEncoder().encode(body).length}\r\n\r\n${body}`,
  );
  await once(socket, "close");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  return { status, text: text.slice(text.indexOf("\r\n\r\n") + 4) };
}
