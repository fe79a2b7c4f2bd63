/** How accepted writes go from the journal to the store: which options say so, and what of them. */
import type { SASL_MECHANISMS } from "./broker_options.ts";
import type { OptionName, Values } from "./options.ts";
import { type HostPort, InvalidValue } from "./parsers.ts";

export interface JournalQueueConfig {
  readonly kind: "journal";
}

export interface RabbitmqConfig {
  readonly kind: "rabbitmq";
  /** They are tried in turn. */
  readonly hosts: readonly HostPort[];
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  readonly queue: string;
  readonly tls: BrokerTls | undefined;
}

export interface KafkaConfig {
  readonly kind: "kafka";
  /** Any of them tells of the others. */
  readonly brokers: readonly HostPort[];
  readonly topic: string;
  /** The topic is made with so many partitions where it is missing. */
  readonly partitions: number;
  /** Each is kept on so many servers; the cluster's own choice where undefined. */
  readonly replicas: number | undefined;
  readonly tls: BrokerTls | undefined;
  readonly sasl: KafkaSasl | undefined;
}

export interface KafkaSasl {
  readonly mechanism: (typeof SASL_MECHANISMS)[number];
  readonly user: string;
  readonly password: string;
}

export interface BrokerTls {
  /** It holds certificates in PEM, by which the server's is checked; else the system's are used. */
  readonly rootCert: string | undefined;
}

/**
 * Returns the queue that is meant where QUEUE does not say.
 * @throws InvalidValue when two are
 */
export function impliedQueue(given: (name: OptionName) => boolean): Values["QUEUE"] & string {
  const [rabbitmq, kafka] = [given("RABBITMQ_URL"), given("KAFKA_BROKERS")];
  if (rabbitmq && kafka) {
    throw new InvalidValue(
      "RABBITMQ_URL and KAFKA_BROKERS are both set: say which one with QUEUE=rabbitmq or " +
        "QUEUE=kafka, or unset one of them.",
    );
  }
  return rabbitmq ? "rabbitmq" : kafka ? "kafka" : "journal";
}

/** @param rootCerts the contents of the files that options name */
export function queueConfig(
  values: Values,
  rootCerts: Readonly<Partial<Record<OptionName, string>>>,
): JournalQueueConfig | RabbitmqConfig | KafkaConfig {
  const { QUEUE, RABBITMQ_URL, KAFKA_BROKERS } = values;
  if (QUEUE === "rabbitmq" && RABBITMQ_URL !== undefined) {
    const { tls, ...server } = RABBITMQ_URL;
    return {
      kind: "rabbitmq",
      ...server,
      queue: values.RABBITMQ_QUEUE,
      tls: tls ? { rootCert: rootCerts.RABBITMQ_SSLROOTCERT } : undefined,
    };
  }
  if (QUEUE === "kafka" && KAFKA_BROKERS !== undefined) {
    return {
      kind: "kafka",
      brokers: KAFKA_BROKERS,
      topic: values.KAFKA_TOPIC,
      partitions: values.KAFKA_PARTITIONS,
      replicas: values.KAFKA_REPLICAS,
      tls: values.KAFKA_TLS === "on" ? { rootCert: rootCerts.KAFKA_SSLROOTCERT } : undefined,
      sasl: kafkaSasl(values),
    };
  }
  // A broker without its address was refused as a contradiction.
  return { kind: "journal" };
}

function kafkaSasl(values: Values): KafkaSasl | undefined {
  const { KAFKA_USER: user, KAFKA_PASS: password, KAFKA_SASL_MECHANISM: mechanism } = values;
  if (!user || !password) return undefined;
  return { mechanism: mechanism ?? "PLAIN", user, password };
}
