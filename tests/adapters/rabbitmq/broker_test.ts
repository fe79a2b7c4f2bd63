import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { BrokerUnavailableError } from "../../../src/errors.ts";
import { bytesOf, numbered, SILENCE_MS, sorted } from "../../contract/broker_under_test.ts";
import { eventually } from "../../support/dsproxy.ts";
import { onChannel, type RabbitmqServer, startRabbitmq } from "../../support/rabbitmq.ts";
import { delay, freePort } from "../../support/services.ts";
import { QueueUnderTest } from "./queue_under_test.ts";

let server: RabbitmqServer;

Deno.test.beforeAll(async () => {
  server = await startRabbitmq();
});

Deno.test.afterAll(async () => {
  await server?.dispose();
});

function message(text: string) {
  return { key: "a", bytes: bytesOf(text) };
}

Deno.test("rabbitmq: a message for which there is no queue is not confirmed, and the queue comes back", async () => {
  await using test = new QueueUnderTest(server);
  const publisher = test.publisher();
  await publisher.publish(message("gone with the queue"));
  await onChannel(server, (channel) => channel.queueDelete(test.queue));
  const results = await Promise.allSettled(
    numbered(20).map((text) => publisher.publish(message(text))),
  );
  for (const result of results) {
    assert.equal(result.status, "rejected");
    assert.ok(result.reason instanceof BrokerUnavailableError, String(result.reason));
    assert.match(result.reason.message, /has no queue test-/);
  }
  await publisher.publish(message("kept"));
  const worker = test.worker();
  await worker.until(1);
  assert.deepEqual(worker.texts, ["kept"]);
});

Deno.test("rabbitmq: a queue that is removed is declared again by who receives from it", async () => {
  await using test = new QueueUnderTest(server);
  const worker = test.worker();
  await worker.untilReady();
  await onChannel(server, (channel) => channel.queueDelete(test.queue));
  await eventually("it says so", () => Promise.resolve(test.faults.length > 0));
  assert.match(test.faults[0]!, /the queue test-[^ ]* was removed/);
  await worker.untilReady();
  await test.publisher().publish(message("m"));
  await worker.until(1);
});

Deno.test("rabbitmq: a queue that is full takes nothing, until there is room", async () => {
  await using test = new QueueUnderTest(server);
  const publisher = test.publisher();
  await publisher.ping();
  await server.control(
    "set_policy",
    test.queue,
    `^${test.queue}$`,
    '{"max-length":3}',
    "--apply-to",
    "queues",
  );
  const outcomes = new Set<string>();
  await eventually("it is full", async () => {
    await publisher.publish(message("m")).catch((error) => {
      assert.ok(error instanceof BrokerUnavailableError, String(error));
      outcomes.add(error.message);
    });
    return outcomes.size > 0;
  });
  assert.match([...outcomes].join(), /rejected by server/);
  const worker = test.worker();
  await worker.until(3);
  await eventually("it takes messages", async () => {
    return await publisher.publish(message("more")).then(() => true, () => false);
  });
});

Deno.test("rabbitmq: while the server lacks memory a publisher is told at once, and goes on after", async () => {
  await using test = new QueueUnderTest(server);
  const publisher = test.publisher();
  await publisher.publish(message("before"));
  await server.control("set_vm_memory_high_watermark", "absolute", "1MB");
  try {
    await eventually("it is told", async () => {
      const error = await publisher.publish(message("m")).then(() => undefined, (error) => error);
      assert.ok(error === undefined || error instanceof BrokerUnavailableError, String(error));
      return /takes no messages for now: .*memory/.test(error?.message);
    });
    const begunMs = performance.now();
    await assert.rejects(publisher.publish(message("m")), /takes no messages for now/);
    await assert.rejects(publisher.ping(), /takes no messages for now/);
    assert.ok(performance.now() - begunMs < 500);
  } finally {
    await server.control("set_vm_memory_high_watermark", "0.9");
  }
  await eventually("it takes messages", async () => {
    return await publisher.publish(message("after")).then(() => true, () => false);
  });
  const worker = test.worker();
  await eventually("it arrives", () => Promise.resolve(worker.texts.includes("after")));
});

Deno.test("rabbitmq: what the server gives anew, as it took too long, is not more than the bound", async () => {
  await using test = new QueueUnderTest(server);
  const publisher = test.publisher();
  await Promise.all(numbered(300).map((text) => publisher.publish(message(text))));
  const setEnv = (name: string, value: number) =>
    server.control("eval", `application:set_env(rabbit, ${name}, ${value}).`);
  await setEnv("consumer_timeout", 1_000);
  await setEnv("channel_tick_interval", 200);
  try {
    const worker = test.worker(() => {});
    await eventually(
      "the server ends it again and again",
      () => Promise.resolve(test.faults.length >= 2),
    );
    assert.match(test.faults[0]!, /BrokerUnavailableError.*timed out/);
    assert.equal(worker.received.length, 64);
    await setEnv("consumer_timeout", 1_800_000);
    // What was settled of deliveries that are over is given again, as the rest of the queue is.
    for (let settled = 0; new Set(worker.texts).size < 300 || settled < worker.received.length;) {
      worker.received[settled]?.acknowledge();
      if (settled < worker.received.length) settled++;
      else await delay(20);
    }
    assert.deepEqual(sorted([...new Set(worker.texts)]), sorted(numbered(300)));
  } finally {
    await setEnv("consumer_timeout", 1_800_000);
    await setEnv("channel_tick_interval", 60_000);
  }
});

Deno.test("rabbitmq: of several servers one that answers is found, by both ends", async () => {
  const hosts = [
    { host: "127.0.0.1", port: freePort() },
    { host: "::1", port: freePort() },
    { host: "127.0.0.1", port: server.port },
  ];
  await using test = new QueueUnderTest(server, { hosts });
  const worker = test.worker();
  await test.publisher().publish(message("m"));
  await worker.until(1);
  const connections = await server.control("list_connections", "client_properties");
  assert.match(connections, /"connection_name","dsproxy"/);
});

Deno.test("rabbitmq: of several servers that do not answer all are named", async () => {
  const hosts = [1, 2].map(() => ({ host: "127.0.0.1", port: freePort() }));
  await using test = new QueueUnderTest(server, { hosts });
  await assert.rejects(
    test.publisher().publish(message("m")),
    (error: Error) =>
      error instanceof BrokerUnavailableError &&
      hosts.every(({ port }) => error.message.includes(`127.0.0.1:${port}`)),
  );
});

Deno.test("rabbitmq: messages that somebody else has sent as text arrive as bytes", async () => {
  await using test = new QueueUnderTest(server);
  await test.publisher().ping();
  await onChannel(server, async (channel) => {
    await channel.confirmSelect();
    await channel.basicPublish(test.queue, "plain");
    await channel.basicPublish(test.queue, { json: true });
    await channel.basicPublish(test.queue, Buffer.from([]));
  });
  const worker = test.worker((received) => received.bury("not ours"));
  await worker.until(3);
  assert.deepEqual(worker.texts, ["plain", '{"json":true}', ""]);
  await eventually("they are buried", async () => (await test.place.buried()).length === 3);
});

Deno.test("rabbitmq: what is buried waits for its queue where somebody has removed that", async () => {
  await using test = new QueueUnderTest(server);
  const publisher = test.publisher();
  const worker = test.worker((received) => received.bury("nobody can read it"));
  await worker.untilReady();
  await onChannel(server, (channel) => channel.queueDelete(`${test.queue}.dead`));
  await publisher.publish(message("bad"));
  await worker.until(1);
  await delay(SILENCE_MS);
  await publisher.ping();
  await eventually("it is buried", async () => (await test.place.buried()).length === 1, 90_000);
});
