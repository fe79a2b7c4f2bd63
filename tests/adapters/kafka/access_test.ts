import assert from "node:assert/strict";
import { BrokerRefusesError, BrokerUnavailableError } from "../../../src/errors.ts";
import type { KafkaOptions } from "../../../src/adapters/kafka/broker.ts";
import { signedCertificate } from "../../support/certificate.ts";
import { eventually } from "../../support/dsproxy.ts";
import { type KafkaServer, startKafka } from "../../support/kafka.ts";
import { bytesOf, TopicUnderTest, untilGiven } from "./broker_under_test.ts";

const PASSWORD = "correct-horse";
const WRONG_PASSWORD = "battery-staple";

let folder: string;
let authority: string;
/** It asks for a name over TLS, and knows who may do what. */
let server: KafkaServer;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir({ prefix: "dsproxy_kafka_tls_" });
  const [ca, cert, key] = await signedCertificate(folder);
  authority = await Deno.readTextFile(ca);
  const pem = `${folder}/both.pem`;
  await Deno.writeTextFile(pem, await Deno.readTextFile(key) + await Deno.readTextFile(cert));
  const users = ["root", "app", "guest"];
  const jaas = "org.apache.kafka.common.security";
  const prefix = "listener.name.clients";
  server = await startKafka({
    protocol: "SASL_SSL",
    scramUsers: Object.fromEntries(users.map((user) => [user, PASSWORD])),
    client: {
      tls: { ca: authority },
      sasl: { mechanism: "PLAIN", username: "root", password: PASSWORD },
    },
    config: [
      "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
      "sasl.mechanism.inter.broker.protocol=PLAIN",
      `${prefix}.plain.sasl.jaas.config=${jaas}.plain.PlainLoginModule required ` +
      `username="root" password="${PASSWORD}" ` +
      users.map((user) => `user_${user}="${PASSWORD}"`).join(" ") + ";",
      `${prefix}.scram-sha-256.sasl.jaas.config=${jaas}.scram.ScramLoginModule required;`,
      `${prefix}.scram-sha-512.sasl.jaas.config=${jaas}.scram.ScramLoginModule required;`,
      "ssl.keystore.type=PEM",
      `ssl.keystore.location=${pem}`,
      "ssl.truststore.type=PEM",
      `ssl.truststore.location=${ca}`,
      "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      // The controller's listener asks for no name.
      "super.users=User:ANONYMOUS;User:root;User:app",
    ],
  });
});

Deno.test.afterAll(async () => {
  await server.dispose();
  await Deno.remove(folder, { recursive: true });
});

function as(user: string, given: Partial<NonNullable<KafkaOptions["sasl"]>> = {}) {
  const sasl = { mechanism: "SCRAM-SHA-256" as const, user, password: PASSWORD, ...given };
  return { tls: { rootCert: authority }, sasl };
}

for (const mechanism of ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const) {
  Deno.test(`kafka: messages pass over TLS with ${mechanism}`, async () => {
    await using test = new TopicUnderTest(server, as("app", { mechanism }));
    const worker = test.worker();
    await test.publisher().publish({ key: "s", bytes: bytesOf("hello") });
    await untilGiven(worker, 1);
    assert.deepEqual(worker.texts(), ["hello"]);
  });

  Deno.test(`kafka: a wrong password for ${mechanism} is refused, and not told`, async () => {
    const sasl = as("app", { mechanism, password: WRONG_PASSWORD });
    await using test = new TopicUnderTest(server, sasl);
    const worker = test.worker();
    const publisher = test.publisher();
    for (
      const call of [
        () => publisher.ping(),
        () => publisher.publish({ key: "s", bytes: bytesOf("hello") }),
      ]
    ) {
      const error = await call().then(() => assert.fail("it was taken"), (error) => error);
      assert.ok(error instanceof BrokerRefusesError, String(error));
      assert.match(error.message, new RegExp(`user app cannot log in by ${mechanism}`));
      assert.ok(!Deno.inspect(error, { depth: 20 }).includes(WRONG_PASSWORD));
    }
    await eventually(
      "the worker says so",
      () => Promise.resolve(/app cannot log in/.test(worker.consumer.failure ?? "")),
    );
    assert.equal(test.faults.length, 1, String(test.faults));
  });
}

Deno.test("kafka: a user without rights is refused, and told which are missing", async () => {
  await using test = new TopicUnderTest(server, as("guest"));
  const worker = test.worker();
  await assert.rejects(
    test.publisher().publish({ key: "s", bytes: bytesOf("hello") }),
    (error: Error) =>
      error instanceof BrokerRefusesError && error.message.includes("lacks a right to the topic"),
  );
  await eventually(
    "the worker says so",
    () => Promise.resolve(worker.consumer.failure?.includes("lacks a right to the topic") ?? false),
  );
});

Deno.test("kafka: a certificate that nobody vouches for is refused", async () => {
  await using test = new TopicUnderTest(server, { ...as("app"), tls: { rootCert: undefined } });
  await assert.rejects(
    test.publisher().ping(),
    (error: Error) => error instanceof BrokerRefusesError && /certificate/.test(error.message),
  );
});

Deno.test("kafka: a server that expects TLS is not talked to without", async () => {
  await using test = new TopicUnderTest(server, { ...as("app"), tls: undefined });
  await assert.rejects(
    test.publisher().ping(),
    (error: Error) =>
      error instanceof BrokerRefusesError || error instanceof BrokerUnavailableError,
  );
});
