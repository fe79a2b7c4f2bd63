/** What every broker owes those who use it while it is away, and after; a part of the suite. */
import assert from "node:assert/strict";
import { BrokerUnavailableError } from "../../src/errors.ts";
import type { Publisher } from "../../src/ports/broker.ts";
import { eventually } from "../support/dsproxy.ts";
import { delay } from "../support/services.ts";
import {
  bytesOf,
  CALL_LIMIT_MS,
  numbered,
  publishAll,
  SILENCE_MS,
  sorted,
  type TestOfBroker,
} from "./broker_under_test.ts";

/** A call is known to have ended after that, on a machine that has much else to do. */
const ENDED_WITHIN_MS = CALL_LIMIT_MS + 3_000;

export function awayContract(test: TestOfBroker): void {
  test("what was confirmed survives a server that is killed", async (ends, server) => {
    const publisher = ends.publisher();
    await publishAll(publisher, numbered(100));
    await server.kill();
    await server.start();
    const worker = ends.worker();
    await worker.until(100);
    assert.deepEqual(sorted([...new Set(worker.texts)]), sorted(numbered(100)));
  });

  test(
    "a publisher is told that the server is away, and goes on when it is back",
    async (ends, server) => {
      const publisher = ends.publisher();
      await publisher.ping();
      await server.kill();
      try {
        for (let round = 0; round < 3; round++) {
          await assertUnavailable(() => publisher.publish({ key: "a", bytes: bytesOf("lost") }));
          await assertUnavailable(() => publisher.ping());
        }
      } finally {
        await server.start();
      }
      await eventually("it takes messages", () => isTaken(publisher, "kept"));
      const worker = ends.worker();
      await eventually("it arrives", () => Promise.resolve(worker.texts.includes("kept")));
    },
  );

  test("a publisher that never saw the server is told, and goes on", async (ends, server) => {
    await server.kill();
    const publisher = ends.publisher();
    try {
      await assertUnavailable(() => publisher.publish({ key: "a", bytes: bytesOf("lost") }));
    } finally {
      await server.start();
    }
    await eventually("it takes messages", () => isTaken(publisher, "kept"));
  });

  test(
    "a server that answers nothing is waited for no longer than the deadline",
    async (ends, server) => {
      const publisher = ends.publisher();
      await publisher.publish({ key: "a", bytes: bytesOf("before") });
      await server.pause();
      try {
        await Promise.all([
          assertUnavailable(() => publisher.publish({ key: "a", bytes: bytesOf("lost") })),
          assertUnavailable(() => publisher.ping()),
        ]);
        await assertUnavailable(() => publisher.publish({ key: "a", bytes: bytesOf("lost") }));
      } finally {
        await server.resume();
      }
      await eventually("it takes messages", () => isTaken(publisher, "kept"));
    },
  );

  test(
    "a consumer says that the server is away, and receives when it is back",
    async (ends, server) => {
      const worker = ends.worker();
      await worker.untilReady();
      await server.kill();
      try {
        await eventually(
          "it says so",
          () => Promise.resolve(worker.consumer.failure !== undefined),
        );
      } finally {
        await server.start();
      }
      const publisher = ends.publisher();
      await eventually("it takes messages", () => isTaken(publisher, "after"));
      await eventually("it arrives", () => Promise.resolve(worker.texts.includes("after")));
      await worker.untilReady();
    },
  );

  test(
    "what was given out before the server went is given again, and settled alone",
    async (ends, server) => {
      await publishAll(ends.publisher(), numbered(3));
      const worker = ends.worker(() => {});
      await worker.until(3);
      await server.kill();
      await server.start();
      await worker.until(6);
      assert.deepEqual(sorted(worker.texts.slice(3)), sorted(numbered(3)));
      // These deliveries are over: to settle them says nothing about those that came later.
      for (const [index, received] of worker.received.slice(0, 3).entries()) {
        if (index === 0) received.bury("it is over");
        else received.acknowledge();
      }
      await delay(SILENCE_MS);
      assert.deepEqual(await ends.place.buried(), []);
      await worker.close();
      const another = ends.worker();
      await another.until(3);
      assert.deepEqual(sorted(another.texts), sorted(numbered(3)));
    },
  );

  test(
    "who closes while the server is away waits little, and rejects what is under way",
    async (ends, server) => {
      const [publisher, worker] = [ends.publisher(), ends.worker()];
      await publisher.ping();
      await worker.untilReady();
      await server.pause();
      try {
        const underWay = assertUnavailable(() =>
          publisher.publish({ key: "a", bytes: bytesOf("lost") })
        );
        await delay(100);
        await within(() => Promise.all([publisher.close(), worker.close(), underWay]));
      } finally {
        await server.resume();
      }
      await assertUnavailable(() => publisher.publish({ key: "a", bytes: bytesOf("lost") }));
      await assertUnavailable(() => publisher.ping());
    },
  );
}

async function isTaken(publisher: Publisher, text: string): Promise<boolean> {
  try {
    await publisher.publish({ key: "a", bytes: bytesOf(text) });
    return true;
  } catch (error) {
    assert.ok(error instanceof BrokerUnavailableError, String(error));
    return false;
  }
}

async function assertUnavailable(call: () => Promise<void>): Promise<void> {
  const error = await within(() =>
    call().then(() => assert.fail("it was taken"), (error) => error)
  );
  assert.ok(error instanceof BrokerUnavailableError, String(error));
}

async function within<T>(work: () => Promise<T>): Promise<T> {
  const begunMs = performance.now();
  const result = await work();
  const tookMs = performance.now() - begunMs;
  assert.ok(tookMs < ENDED_WITHIN_MS, `it took ${tookMs} ms`);
  return result;
}
