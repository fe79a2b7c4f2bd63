/** Real Redis servers for tests. */
import { installed, REDIS } from "./installed.ts";
import { freePort, runVariable, TestServer } from "./services.ts";

export type RedisServer = TestServer;

/** A Redis of one's own, without persistence, on a free loopback port. To be disposed of by the caller. */
export async function startRedis(): Promise<RedisServer> {
  const command = await installed(REDIS);
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_redis_" });
  const port = freePort();
  const server = new TestServer(`redis://127.0.0.1:${port}`, {
    name: "Redis",
    port,
    folder,
    command,
    args: ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
    owner: undefined,
    stopSignal: "SIGTERM",
    probe: () => ping(port),
  });
  try {
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

/** The Redis that all tests of this run share. Use a key prefix of your own; never flush it. */
export function sharedRedisUrl(): string {
  return runVariable("TEST_REDIS_URL");
}

async function ping(port: number): Promise<void> {
  const answer = await redisCommand(port, "PING");
  if (!answer.startsWith("+PONG")) throw new Error(`Redis answers ${JSON.stringify(answer)} to PING`);
}

/** The beginning of the answer to one command without special characters. */
export async function redisCommand(port: number, command: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(`${command}\r\n`));
  const answer = new Uint8Array(16 * 1024);
  const length = await connection.read(answer) ?? 0;
  return new TextDecoder().decode(answer.subarray(0, length));
}
