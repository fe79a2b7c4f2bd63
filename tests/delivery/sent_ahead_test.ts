import assert from "node:assert/strict";
import { StoreWentBackError } from "../../src/errors.ts";
import { DeliverySetUp, upTo } from "../support/delivery.ts";
import { settle } from "../support/fake_clock.ts";

/** Batches of four; a put sends at once, and is answered when its gate is opened. */
class Backlog extends DeliverySetUp {
  readonly begun: number[] = [];
  readonly gates = new Map<number, PromiseWithResolvers<void>>();

  constructor(last: number) {
    super({ size: 1, intervalMs: 1_000, max: 4 });
    this.fill(1, last);
    const put = this.store.put.bind(this.store);
    this.store.put = async (source, entries, confirmedSeq, onSent) => {
      const lastSeq = entries.at(-1)!.seq;
      this.begun.push(lastSeq);
      const gate = Promise.withResolvers<void>();
      this.gates.set(lastSeq, gate);
      onSent?.();
      await gate.promise;
      return await put(source, entries, confirmedSeq, onSent);
    };
  }

  /** Starts, and answers these puts in turn. */
  async begin(...lastSeqs: readonly number[]): Promise<void> {
    this.half.start();
    await settle();
    for (const lastSeq of lastSeqs) await this.answer(lastSeq);
  }

  async answer(lastSeq: number): Promise<void> {
    this.gates.get(lastSeq)!.resolve();
    await settle();
  }
}

Deno.test("the store has the next batch of a backlog while the one before is settled", async () => {
  const up = new Backlog(16);
  await up.begin(4);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8], 4], "but not beside a source's first one");
  await up.answer(8);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 8]);
  const events = up.events.length;
  await up.answer(12);
  assert.deepEqual(
    up.events.slice(events).map((event) => event.split(",")[0]),
    ["cache has 12", "told 12"],
  );
  await up.answer(16);
  assert.deepEqual([up.storedSeqs, up.settledSeq], [upTo(16), 16]);
  await up.half.stop();
});

Deno.test("what was sent ahead is not settled before its answer", async () => {
  const up = new Backlog(16);
  await up.begin(4, 8);
  await up.clock.advance(60_000);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 8]);
  for (const lastSeq of [12, 16]) await up.answer(lastSeq);
  assert.equal(up.settledSeq, 16);
  await up.half.stop();
});

Deno.test("what was sent ahead and failed is sent again, once it is its turn", async () => {
  const up = new Backlog(12);
  await up.begin(4, 8);
  up.gates.get(12)!.reject(new Error("connection refused"));
  await settle();
  assert.equal(up.settledSeq, 8);
  await up.clock.advance(1_000);
  assert.deepEqual(up.begun, [4, 8, 12, 10], "half of it first, as always after a failure");
  for (const lastSeq of [10, 12]) await up.answer(lastSeq);
  assert.deepEqual([up.storedSeqs, up.settledSeq], [upTo(12), 12]);
  await up.half.stop();
});

Deno.test("a batch that cannot be settled is tried again after what was sent ahead", async () => {
  const up = new Backlog(12);
  await up.begin(4);
  up.cacheRefuses = true;
  up.outdate = () => Promise.reject(new Error("the store is away"));
  await up.answer(8);
  await up.clock.advance(60_000);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 4], "no two puts at a time");
  up.cacheRefuses = false;
  await up.answer(12);
  await up.clock.advance(10_000);
  for (const lastSeq of [8, 12]) await up.answer(lastSeq);
  assert.deepEqual([up.storedSeqs, up.settledSeq], [upTo(12), 12], "each is there once");
  await up.half.stop();
});

Deno.test("stopping settles what was sent ahead, and sends nothing more", async () => {
  const up = new Backlog(20);
  await up.begin(4, 8);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 8]);
  let isStopped = false;
  const stopped = up.half.stop().then(() => isStopped = true);
  await settle();
  assert.equal(isStopped, false);
  await up.answer(12);
  await stopped;
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 12]);
  assert.equal(up.clock.timers, 0);
});

Deno.test("who is given up sends nothing ahead, and settles nothing that was", async () => {
  const up = new Backlog(20);
  await up.begin(4, 8);
  up.half.giveUp();
  await up.answer(12);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 8]);
  const stopped = up.half.stop();
  const { gates } = up;
  up.newHalf().start();
  for (let i = 0; i < 8; i++) {
    await settle();
    for (const gate of gates.values()) gate.resolve();
  }
  await stopped;
  assert.deepEqual([up.storedSeqs, up.settledSeq], [upTo(20), 20]);
  await up.half.stop();
});

Deno.test("a sink that does not say when it has a batch keeps nobody waiting for long", async () => {
  const up = new Backlog(16);
  const put = up.store.put.bind(up.store);
  up.store.put = (source, entries, confirmedSeq) => put(source, entries, confirmedSeq, () => {});
  await up.begin(4, 8);
  assert.equal(up.settledSeq, 4);
  await up.clock.advance(50);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 8]);
  for (const lastSeq of [12, 16]) {
    await up.answer(lastSeq);
    await up.clock.advance(50);
  }
  await up.half.stop();
});

Deno.test("a batch is not settled when the store says with the next one that it went back", async () => {
  const up = new Backlog(12);
  await up.begin(4);
  const { put } = up.store;
  up.store.put = (_, entries) => {
    up.begun.push(entries.at(-1)!.seq);
    return Promise.reject(new StoreWentBackError("0 is below 8"));
  };
  await up.answer(8);
  assert.deepEqual([up.begun, up.settledSeq], [[4, 8, 12], 4]);
  up.store.put = put;
  for (let i = 0; i < 8; i++) {
    await up.clock.advance(1_000);
    for (const gate of up.gates.values()) gate.resolve();
  }
  assert.deepEqual([up.storedSeqs, up.settledSeq], [upTo(12), 12]);
  await up.half.stop();
});

Deno.test("of a batch that is settled in pieces every write is told what became of it", async () => {
  const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 5_000 });
  up.fill(1, 1_200);
  const turns: (() => void)[] = [];
  up.clock.turn = () => new Promise((resolve) => turns.push(resolve));
  const outcomes: string[] = [];
  for (const seq of [500, 501, 1_200]) {
    void up.wait(seq).then((outcome) => outcomes.push(`${seq} ${outcome}`));
  }
  up.half.start();
  await settle();
  assert.deepEqual(outcomes, ["500 stored"]);
  assert.equal(up.pending.has("user501"), true);
  while (turns.length > 0) {
    turns.shift()!();
    await settle();
  }
  assert.deepEqual(outcomes, ["500 stored", "501 stored", "1200 stored"]);
  assert.equal(up.pending.users, 0);
  await up.half.stop();
});
