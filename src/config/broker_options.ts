/** The part of the table of options that says how writes go to the database, and by whom. */
import type { Option } from "./option.ts";
import { hostPorts, integer, oneOf, pathText, queueName, topicName } from "./parsers.ts";
import { maskServersUrl, rabbitmqUrl } from "./urls.ts";

export const SASL_MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const;

export const BROKER_OPTIONS = {
  ROLE: {
    parse: oneOf("all", "api", "worker"),
    default: "all",
    help: "api accepts writes and forwards them to the broker, worker brings them from there to " +
      "the database, all does both",
  },
  QUEUE: {
    parse: oneOf("journal", "rabbitmq", "kafka"),
    help: "how writes go to the database: journal (by this process alone), rabbitmq or kafka; " +
      "default: rabbitmq when RABBITMQ_URL is set, kafka when KAFKA_BROKERS is, else journal",
  },
  RABBITMQ_URL: {
    parse: rabbitmqUrl,
    secret: true,
    mask: maskServersUrl,
    help: "amqp://user:password@host:port/vhost, amqps:// for TLS; " +
      "several hosts as host:port,host:port",
  },
  RABBITMQ_QUEUE: { parse: queueName, default: "dsproxy.writes", help: "queue of RabbitMQ" },
  RABBITMQ_SSLROOTCERT: {
    parse: pathText,
    help: "file with the certificates (PEM) to trust for RabbitMQ",
  },
  KAFKA_BROKERS: {
    parse: hostPorts(9092),
    help: "Kafka servers, host:port, comma-separated",
  },
  KAFKA_TOPIC: { parse: topicName, default: "dsproxy.writes", help: "topic of Kafka" },
  KAFKA_PARTITIONS: {
    parse: integer(1, 10_000),
    default: "12",
    help: "the topic is made with so many partitions where it is missing",
  },
  KAFKA_REPLICAS: {
    parse: integer(1, 100),
    help: "and with so many copies of each; default: as the cluster has it",
  },
  KAFKA_TLS: { parse: oneOf("on", "off"), default: "off", help: "TLS to Kafka: on or off" },
  KAFKA_SSLROOTCERT: {
    parse: pathText,
    help: "file with the certificates (PEM) to trust for Kafka",
  },
  KAFKA_SASL_MECHANISM: {
    parse: oneOf(...SASL_MECHANISMS),
    help: `how to log in: ${SASL_MECHANISMS.join(", ")}; default: PLAIN when KAFKA_USER is set`,
  },
  KAFKA_USER: { parse: pathText, help: "user; without one there is no login" },
  KAFKA_PASS: { parse: pathText, secret: true, mayBeEmpty: true, help: "Kafka password" },
} as const satisfies Record<string, Option>;
