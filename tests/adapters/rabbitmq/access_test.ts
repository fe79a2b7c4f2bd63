import assert from "node:assert/strict";
import type { RabbitmqOptions } from "../../../src/adapters/rabbitmq/broker.ts";
import { BrokerError, BrokerRefusesError } from "../../../src/errors.ts";
import { bytesOf } from "../../contract/broker_under_test.ts";
import { signedCertificate } from "../../support/certificate.ts";
import { eventually } from "../../support/dsproxy.ts";
import { onChannel, type RabbitmqServer, startRabbitmq } from "../../support/rabbitmq.ts";
import { freePort } from "../../support/services.ts";
import { QueueUnderTest } from "./queue_under_test.ts";

const PASSWORD = "correct-horse";

let folder: string;
let authority: string;
let tlsPort: number;
let server: RabbitmqServer;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir({ prefix: "dsproxy_rabbitmq_tls_" });
  const [ca, cert, key] = await signedCertificate(folder);
  authority = await Deno.readTextFile(ca);
  tlsPort = freePort();
  server = await startRabbitmq({
    config: [
      `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
      `ssl_options.cacertfile = ${ca}`,
      `ssl_options.certfile = ${cert}`,
      `ssl_options.keyfile = ${key}`,
    ],
  });
  await server.control("add_user", "app", PASSWORD);
  await server.control("add_user", "reader", PASSWORD);
  await server.control("set_permissions", "app", ".*", ".*", ".*");
  await server.control("set_permissions", "reader", "^$", "^$", ".*");
});

Deno.test.afterAll(async () => {
  await server?.dispose();
  await Deno.remove(folder, { recursive: true });
});

const MESSAGE = { key: "a", bytes: bytesOf("m") };

/** All ends are refused in the same words, which never have the password in them. */
async function assertRefused(test: QueueUnderTest, ...words: readonly RegExp[]): Promise<void> {
  const publisher = test.publisher();
  const worker = test.worker();
  for (const call of [() => publisher.ping(), () => publisher.publish(MESSAGE)]) {
    const error = await call().then(() => assert.fail("it was taken"), (error) => error);
    assert.ok(error instanceof BrokerRefusesError, String(error));
    for (const word of words) assert.match(error.message, word);
    assert.ok(!Deno.inspect(error, { depth: 20 }).includes(test.options.password));
  }
  await eventually(
    "the worker says so",
    () => Promise.resolve(words.every((word) => word.test(worker.consumer.failure ?? ""))),
  );
  assert.equal(test.faults.length, 1, String(test.faults));
}

Deno.test("rabbitmq: a wrong password is refused in words", async () => {
  await using test = new QueueUnderTest(server, { user: "app", password: "battery-staple" });
  await assertRefused(test, /the user app cannot log in: the name or the password is wrong/);
});

Deno.test("rabbitmq: a virtual host that is not there is refused, by its name", async () => {
  await using test = new QueueUnderTest(server, {
    user: "app",
    password: PASSWORD,
    vhost: "other",
  });
  await assertRefused(test, /there is no virtual host other, or the user app may not use it/);
});

Deno.test("rabbitmq: a user without rights is refused, and told which are needed", async () => {
  await using test = new QueueUnderTest(server, { user: "reader", password: PASSWORD });
  await assertRefused(test, /ACCESS_REFUSED/, /reader needs the rights to configure, write and/);
});

Deno.test("rabbitmq: a queue that somebody declared otherwise is refused, by its name", async () => {
  await using test = new QueueUnderTest(server);
  const { queue } = test;
  await onChannel(server, (channel) => channel.queueDeclare({ queue, durable: true }));
  await assertRefused(test, new RegExp(`PRECONDITION_FAILED.*queue '${queue}'`), /choose another/);
});

function overTls(others: Partial<RabbitmqOptions> = {}): Partial<RabbitmqOptions> {
  const hosts = [{ host: "127.0.0.1", port: tlsPort }];
  return { hosts, user: "app", password: PASSWORD, tls: { rootCert: authority }, ...others };
}

Deno.test("rabbitmq: messages pass over TLS", async () => {
  await using test = new QueueUnderTest(server, overTls());
  const worker = test.worker();
  await test.publisher().publish(MESSAGE);
  await worker.until(1);
  assert.deepEqual(worker.texts, ["m"]);
});

Deno.test("rabbitmq: a certificate that nobody vouches for is refused", async () => {
  await using test = new QueueUnderTest(server, overTls({ tls: { rootCert: undefined } }));
  await assertRefused(test, /certificate/);
});

Deno.test("rabbitmq: a certificate for another name is refused", async () => {
  const hosts = [{ host: "localhost", port: tlsPort }];
  await using test = new QueueUnderTest(server, overTls({ hosts }));
  await assertRefused(test, /certificate/);
});

Deno.test("rabbitmq: who speaks TLS where none is expected, or the other way round, is told", async () => {
  for (const others of [overTls({ tls: undefined }), { tls: { rootCert: authority } }]) {
    await using test = new QueueUnderTest(server, others);
    await assert.rejects(test.publisher().ping(), (error) => error instanceof BrokerError);
  }
});
