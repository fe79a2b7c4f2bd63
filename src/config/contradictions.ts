/** Finds options that are each in order, and not together. */
import type { OptionName, Values } from "./options.ts";

interface Contradiction {
  readonly variable: OptionName;
  readonly message: string;
}

/**
 * @param values those that could be read
 * @param textOf what the user wrote, for the messages
 */
export function contradictions(
  values: Partial<Values>,
  textOf: (name: OptionName) => string | undefined,
): Contradiction[] {
  const problems: Contradiction[] = [];
  const { BATCH_SIZE = 0, BATCH_MAX = Infinity } = values;
  if (BATCH_SIZE > BATCH_MAX) {
    const message =
      `${BATCH_SIZE} is more than BATCH_MAX=${BATCH_MAX}: lower it, or raise BATCH_MAX.`;
    problems.push({ variable: "BATCH_SIZE", message });
  }
  const { DB_HOST: { length: hosts } = [], DB_PORT: { length: ports } = [] } = values;
  if (ports > 1 && ports !== hosts) {
    const given = `${ports} ports for ${hosts} ${hosts === 1 ? "host" : "hosts"}`;
    problems.push({ variable: "DB_PORT", message: `${given}: give one for all, or one for each.` });
  }
  const { JOURNAL_MAX_BYTES = Infinity, MAX_BODY_BYTES = 0 } = values;
  if (JOURNAL_MAX_BYTES < 4 * MAX_BODY_BYTES) {
    const message = `${textOf("JOURNAL_MAX_BYTES")} is less than 4 × MAX_BODY_BYTES=` +
      `${textOf("MAX_BODY_BYTES")}: raise it, or lower the other.`;
    problems.push({ variable: "JOURNAL_MAX_BYTES", message });
  }
  if (values.ADOPT_FROM !== undefined && values.STORE === "sqlite") {
    const message = `${textOf("ADOPT_FROM")} has writes of other instances, and STORE=sqlite ` +
      "belongs to one process: choose PostgreSQL (DATABASE_URL or DB_*), or unset it.";
    problems.push({ variable: "ADOPT_FROM", message });
  }
  return [
    ...problems,
    ...queueContradictions(values),
    ...values.QUEUE === "rabbitmq" ? rabbitmqContradictions(values) : [],
    ...values.QUEUE === "kafka" ? kafkaContradictions(values) : [],
  ];
}

function queueContradictions({ QUEUE, ROLE, ACK, STORE }: Partial<Values>): Contradiction[] {
  const problems: Contradiction[] = [];
  if (QUEUE === undefined) return problems;
  if (QUEUE !== "journal") {
    if (STORE === "sqlite") {
      const message = `sqlite belongs to one process, and QUEUE=${QUEUE} is for several: ` +
        "choose PostgreSQL (DATABASE_URL or DB_*), or QUEUE=journal.";
      problems.push({ variable: "STORE", message });
    }
    return problems;
  }
  const setBroker = "and QUEUE=journal has none: set RABBITMQ_URL or KAFKA_BROKERS (and no QUEUE)";
  if (ROLE === "api" || ROLE === "worker") {
    const message = `${ROLE} needs a broker, ${setBroker}, or choose ROLE=all.`;
    problems.push({ variable: "ROLE", message });
  }
  if (ACK === "replicated") {
    const message = `replicated is confirmed by a broker, ${setBroker}, or choose durable or ` +
      "flushed.";
    problems.push({ variable: "ACK", message });
  }
  return problems;
}

function rabbitmqContradictions(values: Partial<Values>): Contradiction[] {
  const { RABBITMQ_URL: url, RABBITMQ_SSLROOTCERT } = values;
  if (url === undefined) {
    const message = "is not set, and QUEUE=rabbitmq needs it: set it, as in " +
      "amqp://user:password@host/vhost, or choose another QUEUE.";
    return [{ variable: "RABBITMQ_URL", message }];
  }
  if (RABBITMQ_SSLROOTCERT === undefined || url.tls) return [];
  const message = "is set, and the connection is without TLS: begin RABBITMQ_URL with amqps://, " +
    "or unset it.";
  return [{ variable: "RABBITMQ_SSLROOTCERT", message }];
}

/** A message of Kafka has a MiB at most, unless its topic says otherwise, and one write whole. */
const KAFKA_VALUE_BYTES_MAX = 1000 * 1024;

function kafkaContradictions(values: Partial<Values>): Contradiction[] {
  const problems: Contradiction[] = [];
  const report = (variable: OptionName, message: string) => problems.push({ variable, message });
  if (values.KAFKA_BROKERS === undefined) {
    report(
      "KAFKA_BROKERS",
      "is not set, and QUEUE=kafka needs it: set it, as in host:9092, or choose another QUEUE.",
    );
  }
  if ((values.MAX_VALUE_BYTES ?? 0) > KAFKA_VALUE_BYTES_MAX) {
    const message = `${values.MAX_VALUE_BYTES} is more than a message of Kafka has room for: ` +
      `choose ${KAFKA_VALUE_BYTES_MAX} or less, or RabbitMQ.`;
    report("MAX_VALUE_BYTES", message);
  }
  if (values.KAFKA_SSLROOTCERT !== undefined && values.KAFKA_TLS === "off") {
    const message = "is set, and the connection is without TLS: set KAFKA_TLS=on, or unset it.";
    report("KAFKA_SSLROOTCERT", message);
  }
  const { KAFKA_USER: user, KAFKA_PASS: password, KAFKA_SASL_MECHANISM: mechanism } = values;
  if (user !== undefined && !password) {
    report("KAFKA_PASS", "is not set, and KAFKA_USER is: set it, or unset KAFKA_USER.");
  }
  if (user === undefined && (password || mechanism !== undefined)) {
    const given = password ? "KAFKA_PASS" : "KAFKA_SASL_MECHANISM";
    report("KAFKA_USER", `is not set, and ${given} is: set it, or unset ${given}.`);
  }
  return problems;
}
