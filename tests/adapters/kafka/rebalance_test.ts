import assert from "node:assert/strict";
import type { Received } from "../../../src/ports/broker.ts";
import { eventually } from "../../support/dsproxy.ts";
import { type Kafka, sharedKafka, startKafka } from "../../support/kafka.ts";
import { delay } from "../../support/services.ts";
import {
  bytesOf,
  numbered,
  publishAll,
  TopicUnderTest,
  untilGiven,
  type Worker,
} from "./broker_under_test.ts";

let server: Kafka;

Deno.test.beforeAll(async () => {
  server = await sharedKafka();
});

Deno.test.afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const LATE_MS = 30;

/** Acknowledges out of turn, and late. */
function slowly(received: Received): void {
  setTimeout(() => received.acknowledge(), Math.random() * LATE_MS);
}

/** Publishes one after the other until it is stopped; returns what was confirmed. */
function publishOn(test: TopicUnderTest, signal: AbortSignal): Promise<string[]> {
  const publisher = test.publisher();
  const run = async () => {
    const confirmed: string[] = [];
    for (let n = 0; !signal.aborted; n++) {
      try {
        await publisher.publish({ key: `source${n % 20}`, bytes: bytesOf(`m${n}`) });
        confirmed.push(`m${n}`);
      } catch {
        await delay(100); // The broker is away: nobody was told that it has this one.
      }
      await delay(5);
    }
    return confirmed;
  };
  return run();
}

function seenBy(workers: readonly Worker[]): Set<string> {
  return new Set(workers.flatMap((worker) => worker.texts()));
}

async function untilAllSeen(workers: readonly Worker[], expected: readonly string[]) {
  await eventually("all are seen", () => {
    const seen = seenBy(workers);
    return Promise.resolve(expected.every((text) => seen.has(text)));
  });
}

Deno.test("kafka: while workers come and go each message is given to one of them", async () => {
  await using test = new TopicUnderTest(server, { partitions: 6 });
  test.defer(() => delay(LATE_MS)); // The last that were given are acknowledged, too.
  const stop = new AbortController();
  const published = publishOn(test, stop.signal);
  const first = test.worker(slowly);
  await untilGiven(first, 50);
  const second = test.worker(slowly);
  await untilGiven(second, 50);
  const third = test.worker(slowly);
  await untilGiven(third, 50);
  await first.consumer.close();
  const atClose = first.given.length;
  const before = second.given.length;
  await untilGiven(second, before + 50);
  await second.consumer.close();
  stop.abort();
  const workers = [first, second, third];
  await untilAllSeen(workers, await published);
  assert.equal(first.given.length, atClose);
  assert.deepEqual(test.faults, []);
});

Deno.test("kafka: one member more than partitions repeats each message once at most", async () => {
  await using test = new TopicUnderTest(server, { partitions: 1 });
  await publishAll(test.publisher(), "s", numbered(20));
  const first = test.worker(() => {});
  await untilGiven(first, 20);
  // One of the two has nothing to read: the first may keep its partition, or not.
  const second = test.worker(() => {});
  await eventually(
    "the second is in",
    () => Promise.resolve(second.consumer.failure === undefined),
  );
  await delay(1_000);
  assert.ok(first.given.length + second.given.length <= 40);
  for (const { received } of [...first.given, ...second.given]) received.acknowledge();
  await test.untilCommitted(20n);
});

Deno.test("kafka: what nobody acknowledged comes back with its partition", async () => {
  // Nothing is ever committed of it: the place where it was read last must not be remembered.
  await using test = new TopicUnderTest(server, { partitions: 2 });
  const publisher = test.publisher();
  const first = test.worker(() => {});
  for (const source of numbered(10, "source")) await publishAll(publisher, source, [source]);
  await untilGiven(first, 10);
  const second = test.worker(() => {});
  await eventually("the second has its part", () => Promise.resolve(second.given.length > 0));
  const before = first.given.length;
  await second.consumer.close();
  await untilGiven(first, before + second.given.length);
  const again = first.texts().slice(before);
  for (const text of second.texts()) assert.ok(again.includes(text), text);
});

Deno.test("kafka: acknowledging what another worker has by now does no harm", async () => {
  await using test = new TopicUnderTest(server, { partitions: 2 });
  const publisher = test.publisher();
  const first = test.worker(() => {});
  for (const source of numbered(10, "source")) await publishAll(publisher, source, [source]);
  await untilGiven(first, 10);
  const second = test.worker();
  await eventually("the second has its part", () => Promise.resolve(second.given.length > 0));
  for (const { received } of first.given) received.acknowledge();
  for (const { received } of first.given) received.bury("late");
  await eventually("all is committed", async () => {
    const committed = await Promise.all([test.committed(0), test.committed(1)]);
    return committed.reduce((sum, offset) => sum! + (offset ?? 0n), 0n) === 10n;
  });
  assert.deepEqual(test.faults, []);
});

Deno.test("kafka: a server that is killed again and again loses nothing it confirmed", async () => {
  await using own = await startKafka();
  await using test = new TopicUnderTest(own, { partitions: 4, callTimeoutMs: 3_000 });
  test.defer(() => delay(LATE_MS));
  const stop = new AbortController();
  const published = publishOn(test, stop.signal);
  const workers = [test.worker(slowly), test.worker(slowly)];
  for (let round = 0; round < 2; round++) {
    const before = seenBy(workers).size;
    await eventually(
      "it goes on",
      () => Promise.resolve(seenBy(workers).size > before + 30),
      60_000,
    );
    await own.kill();
    await eventually(
      "they say why nothing comes",
      () => Promise.resolve(workers.every(({ consumer }) => consumer.failure !== undefined)),
    );
    await own.start();
  }
  const before = seenBy(workers).size;
  await eventually("it goes on", () => Promise.resolve(seenBy(workers).size > before + 30), 60_000);
  stop.abort();
  await untilAllSeen(workers, await published);
  await eventually(
    "both receive",
    () => Promise.resolve(workers.every(({ consumer }) => consumer.failure === undefined)),
  );
});
