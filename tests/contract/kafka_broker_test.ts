import { createKafkaConsumer, createKafkaPublisher } from "../../src/adapters/kafka/broker.ts";
import { type KafkaServer, startKafka } from "../support/kafka.ts";
import { brokerContract } from "./broker_suite.ts";
import { type BrokerPlace, type BrokerServer, CALL_LIMIT_MS } from "./broker_under_test.ts";

const PASSWORD = "correct-horse";

brokerContract("kafka", async () => {
  const jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required";
  const server = await startKafka({
    protocol: "SASL_PLAINTEXT",
    client: { sasl: { mechanism: "PLAIN", username: "app", password: PASSWORD } },
    config: [
      "sasl.enabled.mechanisms=PLAIN",
      "sasl.mechanism.inter.broker.protocol=PLAIN",
      `listener.name.clients.plain.sasl.jaas.config=${jaas} ` +
      `username="app" password="${PASSWORD}" user_app="${PASSWORD}";`,
    ],
  });
  return {
    start: () => server.start(),
    kill: () => server.kill(),
    pause: () => server.pause(),
    resume: () => server.resume(),
    makePlace: ({ password = PASSWORD } = {}) => placeOn(server, password),
    [Symbol.asyncDispose]: () => server.dispose(),
  } satisfies BrokerServer;
});

function placeOn(server: KafkaServer, password: string): BrokerPlace {
  const topic = `contract-${crypto.randomUUID()}`;
  const options = {
    brokers: [{ host: "127.0.0.1", port: server.port }],
    topic,
    partitions: 4,
    replicas: undefined,
    tls: undefined,
    sasl: { mechanism: "PLAIN" as const, user: "app", password },
    callTimeoutMs: CALL_LIMIT_MS,
  };
  const watcher = { onFault: () => {} };
  return {
    makePublisher: () => createKafkaPublisher(options, watcher),
    makeConsumer: () => createKafkaConsumer(options, watcher),
    buried: async () =>
      (await server.read(`${topic}.dead`)).map(({ bytes, headers: { reason } }) => ({
        bytes,
        ...(reason !== undefined && { reason }),
      })),
  };
}
