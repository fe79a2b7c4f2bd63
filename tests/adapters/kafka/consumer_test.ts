import assert from "node:assert/strict";
import { eventually } from "../../support/dsproxy.ts";
import { type Kafka, sharedKafka } from "../../support/kafka.ts";
import {
  noMoreGiven,
  numbered,
  publishAll,
  textOf,
  TopicUnderTest,
  untilGiven,
} from "./broker_under_test.ts";

let server: Kafka;

Deno.test.beforeAll(async () => {
  server = await sharedKafka();
});

Deno.test.afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

Deno.test("kafka: only the part without a gap is committed, the rest comes again", async () => {
  await using test = new TopicUnderTest(server);
  await publishAll(test.publisher(), "s", numbered(5));
  const first = test.worker(() => {});
  await untilGiven(first, 5);
  for (const index of [0, 1, 3, 4]) first.given[index]!.received.acknowledge();
  await test.untilCommitted(2n);
  await first.consumer.close();
  assert.equal(await test.committed(), 2n);
  const second = test.worker(() => {});
  await untilGiven(second, 3);
  assert.deepEqual(second.texts(), ["m2", "m3", "m4"]);
});

Deno.test("kafka: what was acknowledged right before the end is committed by it", async () => {
  await using test = new TopicUnderTest(server);
  await publishAll(test.publisher(), "s", numbered(3));
  const worker = test.worker();
  await untilGiven(worker, 3);
  await worker.consumer.close();
  assert.equal(await test.committed(), 3n);
});

Deno.test("kafka: a member that left is not waited for, and another goes on at once", async () => {
  await using test = new TopicUnderTest(server);
  const publisher = test.publisher();
  await publishAll(publisher, "s", numbered(1));
  const first = test.worker();
  await untilGiven(first, 1);
  await first.consumer.close();
  await publishAll(publisher, "s", ["next"]);
  const begunAt = performance.now();
  const second = test.worker();
  await untilGiven(second, 1);
  assert.deepEqual(second.texts(), ["next"]);
  // Who is taken for gone by the time alone is so after ten seconds.
  assert.ok(performance.now() - begunAt < 8_000);
});

Deno.test("kafka: while 64 are out no more are given but for those that are back", async () => {
  await using test = new TopicUnderTest(server);
  await publishAll(test.publisher(), "s", numbered(100));
  const worker = test.worker(() => {});
  await untilGiven(worker, 64);
  assert.ok(await noMoreGiven(worker, 64));
  for (const { received } of worker.given.slice(10, 20)) received.acknowledge();
  await untilGiven(worker, 74);
  assert.ok(await noMoreGiven(worker, 74));
  // Twice is once.
  for (const { received } of worker.given.slice(10, 20)) received.acknowledge();
  assert.ok(await noMoreGiven(worker, 74));
});

Deno.test("kafka: a dead letter says where the message was and why it is dead", async () => {
  await using test = new TopicUnderTest(server);
  await publishAll(test.publisher(), "s", numbered(3));
  const worker = test.worker((received, text) =>
    text === "m1" ? received.bury("unreadable: m1") : received.acknowledge()
  );
  await untilGiven(worker, 3);
  await test.untilCommitted(3n);
  await worker.consumer.close();
  const [dead] = await server.read(`${test.topic}.dead`);
  assert.equal(textOf(dead!.bytes), "m1");
  assert.deepEqual(dead!.headers, {
    reason: "unreadable: m1",
    topic: test.topic,
    partition: "0",
    offset: "1",
  });
  const settings = await test.admin().describeConfigs({
    resources: [{
      resourceType: 2,
      resourceName: `${test.topic}.dead`,
      configurationKeys: ["retention.ms"],
    }],
  });
  assert.match(JSON.stringify(settings, noBigInt), /"retention.ms","value":"-1"/);
});

Deno.test("kafka: what cannot be buried is not done, and another worker is given it", async () => {
  await using test = new TopicUnderTest(server);
  await test.admin().createTopics({
    topics: [`${test.topic}.dead`],
    partitions: 1,
    configs: [{ name: "max.message.bytes", value: "200" }],
  });
  const large = "x".repeat(1_000);
  await publishAll(test.publisher(), "s", ["m0", large, "m2"]);
  const first = test.worker((received, text) =>
    text === large ? received.bury("too large") : received.acknowledge()
  );
  await untilGiven(first, 3);
  await eventually(
    "it says so",
    () => Promise.resolve(test.faults.some((fault) => fault.includes("max.message.bytes"))),
  );
  await first.consumer.close();
  assert.equal(await test.committed(), 1n);
  const second = test.worker();
  await untilGiven(second, 2);
  assert.deepEqual(second.texts(), [large, "m2"]);
});

Deno.test("kafka: a topic that is there is used as it is, added partitions are read", async () => {
  await using test = new TopicUnderTest(server, { partitions: 5 });
  const admin = test.admin();
  await admin.createTopics({ topics: [test.topic], partitions: 2 });
  const publisher = test.publisher();
  const worker = test.worker();
  const sources = numbered(20, "source");
  for (const source of sources) await publishAll(publisher, source, [source]);
  await untilGiven(worker, 20);
  const count = async () =>
    (await admin.metadata({ topics: [test.topic], forceUpdate: true })).topics.get(test.topic)
      ?.partitionsCount;
  assert.equal(await count(), 2);
  await admin.createPartitions({ topics: [{ name: test.topic, count: 6 }] });
  await eventually("it has six", async () => await count() === 6);
  // Publishers look every five seconds.
  await eventually("something of each partition is committed", async () => {
    for (const source of sources) await publishAll(publisher, source, [`${source} again`]);
    const committed = await Promise.all([0, 1, 2, 3, 4, 5].map((each) => test.committed(each)));
    return committed.every((offset) => offset !== undefined && offset > 0n);
  });
});

Deno.test("kafka: a source is in the partition that Java's client chooses", async () => {
  await using test = new TopicUnderTest(server, { partitions: 7 });
  const publisher = test.publisher();
  // The hashes are of Kafka's own test of murmur2.
  const hashes = {
    "21": -973_932_308,
    "foobar": -790_332_482,
    "a-little-bit-long-string": -985_981_536,
    "a-little-bit-longer-string": -1_486_304_829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58_897_971,
    "abc": 479_470_107,
  };
  for (const source of Object.keys(hashes)) await publishAll(publisher, source, [source]);
  const records = await server.read(test.topic);
  assert.deepEqual(
    Object.fromEntries(records.map(({ bytes, partition }) => [textOf(bytes), partition])),
    Object.fromEntries(
      Object.entries(hashes).map(([source, hash]) => [source, (hash & 0x7fffffff) % 7]),
    ),
  );
});

Deno.test("kafka: what retention removed is passed over, and said", async () => {
  await using test = new TopicUnderTest(server);
  const publisher = test.publisher();
  await publishAll(publisher, "s", numbered(10));
  const first = test.worker((received, text) => {
    if (text === "m0") received.acknowledge();
  });
  await untilGiven(first, 10);
  await first.consumer.close();
  await test.admin().deleteRecords({
    topics: [{ name: test.topic, partitions: [{ partition: 0, offset: 7n }] }],
  });
  const second = test.worker();
  await untilGiven(second, 3);
  assert.deepEqual(second.texts(), ["m7", "m8", "m9"]);
  assert.ok(
    test.faults.some((fault) => fault.includes("has no message 1 any more")),
    String(test.faults),
  );
  await test.untilCommitted(10n);
});

Deno.test("kafka: a topic that was removed is made anew, and read from its beginning", async () => {
  await using test = new TopicUnderTest(server);
  const publisher = test.publisher();
  await publishAll(publisher, "s", numbered(5));
  const worker = test.worker();
  await untilGiven(worker, 5);
  await test.untilCommitted(5n);
  await test.admin().deleteTopics({ topics: [test.topic] });
  await eventually("it is there again", async () => {
    try {
      await publishAll(publisher, "s", ["anew"]);
      return true;
    } catch {
      return false; // It was being removed.
    }
  });
  await eventually("it is read", () => Promise.resolve(worker.texts().includes("anew")));
});

function noBigInt(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
