/**
 * What every broker owes those who publish and consume, as the words of src/ports/broker.ts say. Run
 * by a file of its own for each broker, as each needs a server that can be killed.
 */
import assert from "node:assert/strict";
import { BrokerRefusesError } from "../../src/errors.ts";
import { eventually } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";
import { awayContract } from "./broker_away_suite.ts";
import {
  type BrokerServer,
  bytesOf,
  Ends,
  numbered,
  publishAll,
  SILENCE_MS,
  sorted,
  type TestOfBroker,
} from "./broker_under_test.ts";

const LARGE_BYTES = 512 * 1024;
const WRONG_PASSWORD = "wr0ng-passw0rd";

/** @param startServer starts the one that all tests of the file use, one after the other */
export function brokerContract(name: string, startServer: () => Promise<BrokerServer>): void {
  let server: BrokerServer;

  Deno.test.beforeAll(async () => {
    server = await startServer();
  });

  Deno.test.afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  const test = (
    behaviour: string,
    run: (ends: Ends, server: BrokerServer) => Promise<void>,
    overrides?: { readonly password: string },
  ) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using ends = new Ends(server.makePlace(overrides));
      await run(ends, server);
    });

  passingContract(test);
  orderContract(test);
  settlingContract(test);
  awayContract(test);
  test("a wrong password is refused, and not told", refusesStrangers, { password: WRONG_PASSWORD });
}

function passingContract(test: TestOfBroker): void {
  test("what is published arrives unchanged, at a consumer from before and from after", async (ends) => {
    const before = ends.worker();
    const publisher = ends.publisher();
    const small = Uint8Array.from({ length: 256 }, (_, index) => index);
    await publisher.publish({ key: "a", bytes: small });
    await before.until(1);
    await before.close();
    const after = ends.worker();
    await publisher.publish({ key: "a", bytes: small.slice(0, 1) });
    await after.until(1);
    assert.deepEqual([before.given, after.given], [[small], [small.slice(0, 1)]]);
  });

  test("messages of 512 KiB pass, many of them under way", async (ends) => {
    const worker = ends.worker();
    const publisher = ends.publisher();
    const large = Array.from({ length: 40 }, (_, index) => new Uint8Array(LARGE_BYTES).fill(index));
    await Promise.all(large.map((bytes) => publisher.publish({ key: "a", bytes })));
    await worker.until(large.length);
    assert.deepEqual(worker.given.map((bytes) => bytes.length), large.map(() => LARGE_BYTES));
    assert.deepEqual(new Set(worker.given.map((bytes) => bytes[77]!)), new Set(large.keys()));
  });

  test("it can be asked before anything is published, again and again", async (ends) => {
    const publisher = ends.publisher();
    await Promise.all([publisher.ping(), publisher.ping()]);
    await ends.publisher().ping();
    await publisher.publish({ key: "a", bytes: bytesOf("m") });
    const worker = ends.worker();
    await worker.until(1);
    assert.equal(worker.consumer.failure, undefined);
  });

  test("two consumers share what there is, and each message is one's", async (ends) => {
    const workers = [ends.worker(), ends.worker()];
    await Promise.all(workers.map((worker) => worker.untilReady()));
    const publisher = ends.publisher();
    const texts = numbered(300);
    // Where it is the source that decides, these are enough for both.
    await Promise.all(
      texts.map((text, index) =>
        publisher.publish({ key: `source${index % 60}`, bytes: bytesOf(text) })
      ),
    );
    await eventually(
      "all are given",
      () => Promise.resolve(new Set(workers.flatMap(({ texts }) => texts)).size === texts.length),
    );
    for (const worker of workers) assert.ok(worker.given.length > 0, "one of them had nothing");
  });
}

function orderContract(test: TestOfBroker): void {
  test("one consumer is given the messages of a source in the order of the calls", async (ends) => {
    const worker = ends.worker();
    const publisher = ends.publisher();
    const texts = numbered(500);
    await Promise.all(
      texts.map((text) => publisher.publish({ key: "a", bytes: bytesOf(text) })),
    );
    await worker.until(texts.length);
    assert.deepEqual(worker.texts, texts);
  });
}

function settlingContract(test: TestOfBroker): void {
  test("what a consumer that closes did not acknowledge is given to another", async (ends) => {
    const publisher = ends.publisher();
    await publishAll(publisher, numbered(10));
    const first = ends.worker(() => {});
    await first.until(10);
    const settled = first.received.filter((_, index) => index < 5);
    for (const received of settled) received.acknowledge();
    await first.close();
    const second = ends.worker();
    await second.until(5);
    await delay(SILENCE_MS);
    assert.deepEqual(sorted(second.texts), sorted(first.texts.slice(5)));
  });

  test("what was acknowledged right before the end is given to nobody any more", async (ends) => {
    await publishAll(ends.publisher(), numbered(50));
    const first = ends.worker();
    await first.until(50);
    await first.close();
    const second = ends.worker();
    await second.untilReady();
    await delay(SILENCE_MS);
    assert.deepEqual(second.texts, []);
  });

  test("what is buried is among the dead letters, and given to nobody any more", async (ends) => {
    const publisher = ends.publisher();
    await publishAll(publisher, ["good", "bad"]);
    const first = ends.worker((received, text) =>
      text === "bad" ? received.bury("nobody can read it") : received.acknowledge()
    );
    await first.until(2);
    await eventually("it is buried", async () => (await ends.place.buried()).length === 1);
    await first.close();
    const second = ends.worker();
    await second.untilReady();
    await delay(SILENCE_MS);
    assert.deepEqual(second.texts, []);
    const [dead] = await ends.place.buried();
    assert.deepEqual(dead && new Uint8Array(dead.bytes), bytesOf("bad"));
    assert.equal(dead?.reason ?? "nobody can read it", "nobody can read it");
  });

  test("no more is given out than a fixed number, until something is acknowledged", async (ends) => {
    const publisher = ends.publisher();
    await publishAll(publisher, numbered(300));
    const worker = ends.worker(() => {});
    await worker.untilSilent();
    const bound = worker.given.length;
    assert.ok(bound > 1 && bound < 300, `${bound} were given out`);
    for (const received of worker.received.slice(0, bound)) received.acknowledge();
    await worker.until(bound + 1);
  });

  test("a message that is settled twice is settled once", async (ends) => {
    await publishAll(ends.publisher(), ["a", "b"]);
    const first = ends.worker((received) => {
      received.acknowledge();
      received.acknowledge();
      received.bury("too late");
    });
    await first.until(2);
    await first.close();
    const second = ends.worker();
    await second.untilReady();
    await delay(SILENCE_MS);
    assert.deepEqual(second.texts, []);
    assert.deepEqual(await ends.place.buried(), []);
  });
}

async function refusesStrangers(ends: Ends): Promise<void> {
  const publisher = ends.publisher();
  const worker = ends.worker();
  for (
    const call of [
      () => publisher.ping(),
      () => publisher.publish({ key: "a", bytes: bytesOf("m") }),
    ]
  ) {
    const error = await call().then(() => assert.fail("it was taken"), (error) => error);
    assert.ok(error instanceof BrokerRefusesError, String(error));
    assert.ok(!Deno.inspect(error, { depth: 20 }).includes(WRONG_PASSWORD));
  }
  await eventually("it says so", () => Promise.resolve(worker.consumer.failure !== undefined));
  assert.ok(!worker.consumer.failure!.includes(WRONG_PASSWORD));
}
