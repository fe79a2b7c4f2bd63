/** Real RabbitMQ servers for tests. */
import { type Channel, Connection } from "rabbitmq-client";
import type { RabbitmqOptions } from "../../src/adapters/rabbitmq/broker.ts";
import { installed, RABBITMQ } from "./installed.ts";
import { freePort, output, type ServerOptions, TestServer } from "./services.ts";

/** Names a running server, which those share that do it no harm. */
const SHARED_VARIABLE = "TEST_RABBITMQ_URL";

export interface RabbitmqServerOptions {
  /** Further lines of rabbitmq.conf. */
  readonly config?: readonly string[];
}

/** A server of one node. What those need who share one is what {@link Rabbitmq} has. */
export class RabbitmqServer extends TestServer implements Rabbitmq {
  constructor(
    url: string,
    options: ServerOptions,
    private readonly environment: readonly string[],
    private readonly namesPort: number,
    private readonly controlProgram: string,
  ) {
    super(url, options);
  }

  /** Runs a command of `rabbitmqctl` and returns what it printed. */
  control(...args: readonly string[]): Promise<string> {
    return output("env", [...this.environment, this.controlProgram, "--silent", ...args]);
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.#endNames();
  }

  override async dispose(): Promise<void> {
    await super.dispose();
    await this.#endNames();
  }

  /** The daemon that knows nodes by name outlives a server that ends by itself. */
  async #endNames(): Promise<void> {
    try {
      await output("epmd", ["-port", String(this.namesPort), "-kill"]);
    } catch {
      // It has ended with the server.
    }
  }
}

/** A server that may be others', too. */
export interface Rabbitmq extends AsyncDisposable {
  /** As `amqp://user:password@127.0.0.1:5672`. */
  readonly url: string;
  readonly port: number;
}

/** The one that all tests of this run share, or one of one's own. Use a queue of your own. */
export async function sharedRabbitmq(): Promise<Rabbitmq> {
  const url = Deno.env.get(SHARED_VARIABLE);
  if (!url) return await startRabbitmq();
  return {
    url,
    port: Number(new URL(url).port),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A queue that is not there yet, as the adapter is told of it. */
export function rabbitmqOptions(
  { url }: Pick<Rabbitmq, "url">,
  others: Partial<RabbitmqOptions> = {},
): RabbitmqOptions {
  const { hostname, port, username, password } = new URL(url);
  return {
    hosts: [{ host: hostname, port: Number(port) }],
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    vhost: "/",
    queue: `test-${crypto.randomUUID()}`,
    tls: undefined,
    ...others,
  };
}

/** Runs `work` on a channel that is closed afterwards; what it was given unasked for goes back. */
export async function onChannel<T>(
  { url }: Pick<Rabbitmq, "url">,
  work: (channel: Channel) => Promise<T>,
): Promise<T> {
  const connection = new Connection({ url, retryLow: 60_000, retryHigh: 60_000 });
  try {
    const channel = await connection.acquire({ emitErrorsFromChannel: true });
    channel.on("error", () => {}); // Whoever called is told.
    try {
      return await work(channel);
    } finally {
      await channel.close();
    }
  } finally {
    await connection.close();
  }
}

/** Returns what is in a queue; it stays there. */
export function messagesIn(server: Pick<Rabbitmq, "url">, queue: string): Promise<Uint8Array[]> {
  return onChannel(server, async (channel) => {
    const found: Uint8Array[] = [];
    for (;;) {
      const message = await channel.basicGet({ queue });
      if (message === undefined) return found;
      found.push(new Uint8Array(message.body));
    }
  });
}

/**
 * A RabbitMQ of one's own, of one node, on a free loopback port. It keeps its data when it is killed
 * and started again. To be disposed of by the caller.
 */
export async function startRabbitmq(
  { config = [] }: RabbitmqServerOptions = {},
): Promise<RabbitmqServer> {
  const command = await scriptOf(await installed(RABBITMQ));
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_rabbitmq_" });
  const [port, distributionPort, namesPort] = [freePort(), freePort(), freePort()];
  const lines = [
    `listeners.tcp.1 = 127.0.0.1:${port}`,
    "log.console = true",
    "log.console.level = warning",
    "log.file = false",
    "vm_memory_high_watermark.relative = 0.9",
    "disk_free_limit.absolute = 1MB",
    ...config,
  ];
  await Deno.writeTextFile(`${folder}/rabbitmq.conf`, `${lines.join("\n")}\n`);
  await Deno.writeTextFile(`${folder}/plugins`, "[].\n");
  const environment = [
    // The cookie by which its own tools know it is there.
    `HOME=${folder}`,
    `RABBITMQ_NODENAME=dsproxy${port}@localhost`,
    `RABBITMQ_MNESIA_BASE=${folder}/data`,
    `RABBITMQ_LOG_BASE=${folder}/logs`,
    `RABBITMQ_CONFIG_FILE=${folder}/rabbitmq`,
    `RABBITMQ_ENABLED_PLUGINS_FILE=${folder}/plugins`,
    `RABBITMQ_CONF_ENV_FILE=${folder}/none`,
    `RABBITMQ_DIST_PORT=${distributionPort}`,
    `ERL_EPMD_PORT=${namesPort}`,
    "ERL_EPMD_ADDRESS=127.0.0.1",
    // The script then makes way for the server, which is so the process that is signalled.
    "RUNNING_UNDER_SYSTEMD=true",
    // Two schedulers do for a test, and start sooner.
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none",
  ];
  const server = new RabbitmqServer(
    `amqp://guest:guest@127.0.0.1:${port}`,
    {
      name: `RabbitMQ (${command})`,
      port,
      folder,
      command: "env",
      // The daemon that knows nodes by name is a child of this process, and killed with it.
      args: [
        ...environment,
        "sh",
        "-c",
        'epmd -port "$1" & shift; exec "$@"',
        "sh",
        String(namesPort),
        command,
      ],
      owner: undefined,
      stopSignal: "SIGTERM",
      probe: () => greet(port),
    },
    environment,
    namesPort,
    command.replace(/rabbitmq-server$/, "rabbitmqctl"),
  );
  try {
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

/** What Debian has on PATH changes to a user of its own, who may not write where tests do. */
async function scriptOf(program: string): Promise<string> {
  const inner = "/usr/lib/rabbitmq/bin/rabbitmq-server";
  return await Deno.realPath(program.startsWith("/usr/sbin/") ? inner : program);
}

/** It answers the protocol's first bytes with a frame of method. */
async function greet(port: number): Promise<void> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new Uint8Array([65, 77, 81, 80, 0, 0, 9, 1]));
  const answer = new Uint8Array(1);
  if (await connection.read(answer) !== 1 || answer[0] !== 1) {
    throw new Error("RabbitMQ does not greet");
  }
}
