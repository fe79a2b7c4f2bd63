import assert from "node:assert/strict";
import { Batcher } from "../../src/delivery/batcher.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { AppError } from "../../src/errors.ts";
import { Pending } from "../../src/intake/pending.ts";
import { Log } from "../../src/telemetry/log.ts";
import { Writer } from "../../src/intake/writer.ts";
import { FakeCache } from "../support/fake_cache.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { FakeQueue, FakeStore, idleMetrics } from "../support/fakes.ts";

const log = new Log("error", "json", () => {});

function setUp(maxPendingUsers: number) {
  const clock = new FakeClock();
  const queue = new FakeQueue();
  const store = new FakeStore();
  const pending = new Pending((seq) => queue.read(seq));
  const cache = new CacheClient({
    cache: new FakeCache(),
    ttlMs: 1_000,
    clock,
    onFault: () => {},
  });
  const lastKnown = new LastKnown(1_000, clock);
  const metrics = idleMetrics();
  const parts = { queue, store, pending, cache, clock, metrics, log, random: () => 0.5 };
  const batcher = new Batcher({ size: 1_000, intervalMs: 1_000, max: 1_000 }, parts);
  return {
    clock,
    queue,
    batcher,
    writer: new Writer(queue, pending, cache, lastKnown, batcher, log, maxPendingUsers),
  };
}

const write = (userId: string) => ({ userId, value: "v", ts: 1 });

Deno.test("further users are refused at the limit, known ones are not, and room comes back with a flush", async () => {
  const { clock, batcher, writer } = setUp(3);
  batcher.start();
  const first = [writer.write(write("a"), "durable"), writer.write(write("b"), "accepted")];
  await Promise.all([...first, writer.write(write("c"), "durable")]);
  await settle();
  const refused = (error: unknown) => error instanceof AppError && error.code === "queue-full";
  await assert.rejects(writer.write(write("d"), "durable"), refused);
  await writer.write(write("a"), "durable");
  await clock.advance(1_000);
  await writer.write(write("d"), "durable");
  await batcher.stop();
});

Deno.test("writes under way count, so that a burst cannot pass the limit", async () => {
  const { queue, batcher, writer } = setUp(10);
  const burst = Array.from({ length: 50 }, (_, i) => writer.write(write(`user${i}`), "durable"));
  const results = await Promise.allSettled(burst);
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 10);
  assert.equal(queue.entries.length, 10);
  await batcher.stop();
});
