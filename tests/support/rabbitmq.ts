/** Real RabbitMQ servers for tests. */
import { installed, type Program } from "./installed.ts";
import { freePort, output, TestServer } from "./services.ts";

export const RABBITMQ: Program = {
  names: ["rabbitmq-server"],
  // What is on PATH changes to a user of its own, who may not write where tests do.
  folders: ["/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/lib/*/sbin"],
  aptPackage: "rabbitmq-server",
};

export interface RabbitmqServerOptions {
  /** Further lines of rabbitmq.conf. */
  readonly config?: readonly string[];
}

export class RabbitmqServer extends TestServer {
  constructor(
    url: string,
    options: ConstructorParameters<typeof TestServer>[1],
    private readonly environment: readonly string[],
  ) {
    super(url, options);
  }

  /** Runs a command of `rabbitmqctl` and returns what it printed. */
  control(...args: readonly string[]): Promise<string> {
    const program = `${this.options.folder}/rabbitmqctl`;
    return output("env", [...this.environment, program, "--silent", ...args]);
  }
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
  await Deno.symlink(command.replace(/rabbitmq-server$/, "rabbitmqctl"), `${folder}/rabbitmqctl`);
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
    // Two schedulers do for a test, and start sooner.
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none",
  ];
  const server = new RabbitmqServer(`amqp://guest:guest@127.0.0.1:${port}`, {
    name: `RabbitMQ (${command})`,
    port,
    folder,
    command: "env",
    // The daemon that knows nodes by name is a child of this process, and ends with it.
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
  }, environment);
  try {
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

/** The wrapper of Debian stands for a script of the same name elsewhere. */
async function scriptOf(program: string): Promise<string> {
  if (!program.startsWith("/usr/sbin/")) return await Deno.realPath(program);
  return await Deno.realPath("/usr/lib/rabbitmq/bin/rabbitmq-server");
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
