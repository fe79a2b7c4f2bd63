import assert from "node:assert/strict";
import { SpanQueue, SPANS_MAX } from "../../src/telemetry/span_queue.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A receiver that answers when it is told to. */
class FakeExporter {
  readonly batches: number[][] = [];
  isClosed = false;
  #done: ((error: Error | undefined) => void) | undefined;

  export(spans: number[], done: (error: Error | undefined) => void): void {
    assert.equal(this.#done, undefined, "two exports at a time");
    this.batches.push(spans);
    this.#done = done;
  }

  answer(error?: Error): void {
    const done = this.#done;
    this.#done = undefined;
    done!(error);
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.reject(new Error("It does not close"));
  }
}

function setUp() {
  const clock = new FakeClock();
  const exporter = new FakeExporter();
  const counts: Record<string, number> = { exported: 0, failed: 0, dropped: 0 };
  const told: string[] = [];
  const queue = new SpanQueue<number>({
    exporter,
    clock,
    metrics: {
      spans: {
        inc: ({ outcome }: { outcome: string }, n: number) => {
          counts[outcome]! += n;
        },
      } as never,
    },
    log: { warn: (message) => told.push(message), info: (message) => told.push(message) },
  });
  const add = (count: number) => {
    for (let i = 0; i < count; i++) queue.add(i);
  };
  return { clock, exporter, counts, told, queue, add };
}

Deno.test("spans wait for one another, and a full batch does not", async () => {
  const { clock, exporter, counts, add } = setUp();
  add(3);
  assert.deepEqual(exporter.batches, []);
  await clock.advance(1_000);
  assert.deepEqual(exporter.batches, [[0, 1, 2]]);
  exporter.answer();
  await clock.advance(0);
  add(512);
  assert.deepEqual(exporter.batches.map(({ length }) => length), [3, 512]);
  exporter.answer();
  await clock.advance(0);
  assert.deepEqual([counts.exported, clock.timers], [515, 0]);
});

Deno.test("behind a silent receiver a bounded number waits, and the rest is counted", async () => {
  const { clock, exporter, counts, queue, add } = setUp();
  add(512 + SPANS_MAX + 7);
  assert.deepEqual([exporter.batches.length, queue.isFull, counts.dropped], [1, true, 7]);
  for (let i = 0; i < 5; i++) {
    exporter.answer();
    await clock.advance(0);
  }
  assert.deepEqual(counts, { exported: 512 + SPANS_MAX, failed: 0, dropped: 7 });
});

Deno.test("an outage is told once, and its end once", async () => {
  const { clock, exporter, counts, told, add } = setUp();
  for (const error of [new Error("away"), new Error("away"), undefined, undefined]) {
    add(1);
    await clock.advance(1_000);
    exporter.answer(error);
    await clock.advance(0);
  }
  assert.deepEqual(counts, { exported: 2, failed: 2, dropped: 0 });
  assert.equal(told.length, 2);
  assert.match(told[0]!, /cannot be exported/);
  assert.match(told[1]!, /again/);
});

Deno.test("a stop exports what waits, and takes nothing afterwards", async () => {
  const { clock, exporter, counts, queue, add } = setUp();
  add(2);
  const stopped = queue.stop();
  exporter.answer();
  await stopped;
  add(1);
  assert.deepEqual([counts, exporter.isClosed], [{ exported: 2, failed: 0, dropped: 1 }, true]);
  assert.equal(clock.timers, 0);
});

Deno.test("a stop waits a moment for a receiver, and not at all for one that was away", async () => {
  const hanging = setUp();
  hanging.add(1);
  let isStopped = false;
  const stopped = hanging.queue.stop().then(() => isStopped = true);
  await hanging.clock.advance(499);
  assert.equal(isStopped, false);
  await hanging.clock.advance(1);
  await stopped;
  const away = setUp();
  away.add(1);
  await away.clock.advance(1_000);
  away.exporter.answer(new Error("away"));
  await away.clock.advance(0);
  away.add(1);
  await away.queue.stop();
  assert.deepEqual([away.exporter.batches.length, away.counts.dropped], [1, 1]);
});
