/** Real Kafka servers for tests: one node each, broker and controller (KRaft). */
import { Admin, type AdminOptions, Consumer } from "@platformatic/kafka";
import { installed, type Program } from "./installed.ts";
import JARS from "./kafka_jars.json" with { type: "json" };
import { jarFolder, type Jars } from "./maven.ts";
import { freePort, output, type ServerOptions, TestServer } from "./services.ts";

type ClientOptions = Pick<AdminOptions, "tls" | "sasl">;

export interface Kafka extends AsyncDisposable {
  /** As `127.0.0.1:9092`. */
  readonly url: string;
  readonly port: number;
  /** Sees, and does, what it likes. To be closed by the caller. */
  admin(options?: Partial<AdminOptions>): Admin;
  /** Returns all that is in a topic now, and leaves it there. */
  read(topic: string): Promise<readonly KafkaRecord[]>;
}

export interface KafkaRecord {
  readonly bytes: Uint8Array;
  readonly partition: number;
  readonly headers: Readonly<Record<string, string>>;
}

export class KafkaServer extends TestServer implements Kafka {
  constructor(url: string, options: ServerOptions, private readonly client: ClientOptions) {
    super(url, options);
  }

  admin(options: Partial<AdminOptions> = {}): Admin {
    return adminOf(this.url, { ...this.client, ...options });
  }

  read(topic: string): Promise<readonly KafkaRecord[]> {
    return readAll(this.url, topic, this.client);
  }
}

export const JAVA: Program = {
  names: ["java"],
  folders: ["/usr/lib/jvm/*/bin"],
  aptPackage: "openjdk-17-jre-headless",
};

export const KAFKA: Jars = { name: "kafka-4.1.0", checksums: JARS };

/** Names a server that the run has started, as `127.0.0.1:9092`. */
export const KAFKA_VARIABLE = "TEST_KAFKA_BROKER";

/** Small, and quick to be there: a test server has little to keep and nothing to lose. */
const JVM = [
  "-Xmx384m",
  "-Xms128m",
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-Xshare:auto",
  "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

export interface KafkaServerOptions {
  /** Further lines of server.properties; a later one wins over an earlier one. */
  readonly config?: readonly string[];
  /** The protocol of the listener for clients; default PLAINTEXT. */
  readonly protocol?: "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL";
  /** Names and passwords of users that log in with SCRAM. */
  readonly scramUsers?: Readonly<Record<string, string>>;
  /** How a client gets in, where not everybody does. */
  readonly client?: ClientOptions;
}

/** A Kafka of one's own, on free loopback ports. To be disposed of by the caller. */
export async function startKafka(options: KafkaServerOptions = {}): Promise<KafkaServer> {
  const java = await installed(JAVA);
  const jars = await jarFolder(KAFKA);
  const folder = await Deno.makeTempDir({ prefix: "dsproxy_kafka_" });
  const port = freePort();
  const properties = `${folder}/server.properties`;
  const classPath = ["-cp", `${jars}/*`];
  const server: KafkaServer = new KafkaServer(`127.0.0.1:${port}`, {
    name: "Kafka",
    port,
    folder,
    command: java,
    args: [...JVM, ...classPath, "kafka.Kafka", properties],
    owner: undefined,
    stopSignal: "SIGTERM",
    probe: () => answers(server),
  }, options.client ?? {});
  try {
    await Deno.writeTextFile(properties, propertiesOf(port, folder, options));
    await output(java, [
      ...JVM,
      ...classPath,
      "kafka.tools.StorageTool",
      "format",
      "--standalone",
      "--cluster-id=AAAAAAAAAAAAAAAAAAAAAQ",
      `--config=${properties}`,
      ...Object.entries(options.scramUsers ?? {}).flatMap(([name, password]) =>
        ["SCRAM-SHA-256", "SCRAM-SHA-512"].map((mechanism) =>
          `--add-scram=${mechanism}=[name=${name},password=${password}]`
        )
      ),
    ]);
    await server.start();
  } catch (error) {
    await server.dispose();
    throw error;
  }
  return server;
}

/**
 * The Kafka that all tests of this run share, or where the run has none, one of the caller's. Use a
 * topic of your own.
 */
export async function sharedKafka(): Promise<Kafka> {
  const url = Deno.env.get(KAFKA_VARIABLE);
  if (!url) return await startKafka();
  return {
    url,
    port: Number(url.slice(url.lastIndexOf(":") + 1)),
    admin: (options = {}) => adminOf(url, options),
    read: (topic) => readAll(url, topic, {}),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function adminOf(url: string, options: Partial<AdminOptions>): Admin {
  return new Admin({
    clientId: "test",
    bootstrapBrokers: [url],
    connectTimeout: 2_000,
    requestTimeout: 5_000,
    ...options,
  });
}

async function readAll(
  url: string,
  topic: string,
  client: ClientOptions,
): Promise<readonly KafkaRecord[]> {
  const consumer = new Consumer({
    clientId: "test",
    groupId: crypto.randomUUID(),
    bootstrapBrokers: [url],
    ...client,
  });
  try {
    const topics = [topic];
    const [first, end] = await Promise.all(
      [-2n, -1n].map(async (timestamp) =>
        (await consumer.listOffsets({ topics, timestamp })).get(topic)!
      ),
    );
    const count = end!.reduce((sum, offset, index) => sum + Number(offset - first![index]!), 0);
    const records: KafkaRecord[] = [];
    if (count === 0) return records;
    const stream = await consumer.consume({ topics, mode: "earliest", autocommit: false });
    for await (const { value, partition, headers } of stream) {
      const named = [...headers].map(([name, each]) => [name.toString(), each.toString()]);
      records.push({
        bytes: new Uint8Array(value),
        partition,
        headers: Object.fromEntries(named),
      });
      if (records.length >= count) break;
    }
    return records;
  } finally {
    await consumer.close(true);
  }
}

function propertiesOf(port: number, folder: string, options: KafkaServerOptions): string {
  const { protocol = "PLAINTEXT", config = [] } = options;
  const controllerPort = freePort();
  return [
    "process.roles=broker,controller",
    "node.id=1",
    `controller.quorum.bootstrap.servers=127.0.0.1:${controllerPort}`,
    `listeners=CLIENTS://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=CLIENTS://127.0.0.1:${port}`,
    `listener.security.protocol.map=CLIENTS:${protocol},CONTROLLER:PLAINTEXT`,
    "controller.listener.names=CONTROLLER",
    "inter.broker.listener.name=CLIENTS",
    `log.dirs=${folder}/data`,
    "auto.create.topics.enable=false",
    "offsets.topic.num.partitions=1",
    "offsets.topic.replication.factor=1",
    "transaction.state.log.num.partitions=1",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
    "share.coordinator.state.topic.num.partitions=1",
    "share.coordinator.state.topic.replication.factor=1",
    "group.initial.rebalance.delay.ms=0",
    // A node that was killed is itself the one that still has the lease of its former self.
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    "log.cleaner.dedupe.buffer.size=4194304",
    "num.network.threads=2",
    "num.io.threads=2",
    "background.threads=2",
    "queued.max.requests=64",
    ...config,
    "",
  ].join("\n");
}

async function answers(server: KafkaServer): Promise<void> {
  const admin = server.admin({ retries: 0 });
  try {
    const { brokers } = await admin.metadata({});
    if (brokers.size === 0) throw new Error("Kafka has no broker yet");
  } finally {
    await admin.close();
  }
}
