import assert from "node:assert/strict";
import { StoreRefusesError } from "../../src/errors.ts";
import { DeliverySetUp, SOURCE, upTo } from "../support/delivery.ts";
import { settle } from "../support/fake_clock.ts";

Deno.test("a batch that is not full waits for the interval", async () => {
  const up = new DeliverySetUp();
  up.half.start();
  up.fill(1, 49);
  up.half.durable([]);
  await up.clock.advance(1_999);
  assert.equal(up.store.rows.length, 0);
  await up.clock.advance(1);
  assert.deepEqual(up.store.batches, [49]);
  await up.half.stop();
});

Deno.test("a full batch is flushed at once", async () => {
  const up = new DeliverySetUp();
  up.half.start();
  up.fill(1, 50);
  up.half.durable([]);
  await settle();
  assert.deepEqual(up.store.batches, [50]);
  await up.half.stop();
});

Deno.test(
  "a backlog is flushed in statements of the largest size until less than a " +
    "batch is left",
  async () => {
    const up = new DeliverySetUp({ size: 50, intervalMs: 2_000, max: 400 });
    up.fill(1, 1_030);
    up.half.start();
    for (let i = 0; i < 3; i++) await settle();
    assert.deepEqual(up.store.batches, [400, 400, 230]);
    await up.half.stop();
  },
);

Deno.test("the next batch of a backlog is read while the store has the one before", async () => {
  const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 4 });
  const taken: (number | undefined)[] = [];
  const take = up.journal.take.bind(up.journal);
  up.journal.take = async (maxRows) => {
    const batch = await take(maxRows);
    taken.push(batch?.lastSeq);
    return batch;
  };
  const gate = Promise.withResolvers<void>();
  const put = up.store.put.bind(up.store);
  up.store.put = async (...args) => {
    await gate.promise;
    return await put(...args);
  };
  up.fill(1, 11);
  up.half.start();
  await settle();
  assert.deepEqual([taken, up.store.batches], [[4, 8], []]);
  gate.resolve();
  for (let i = 0; i < 4; i++) await settle();
  assert.deepEqual([up.store.batches, up.storedSeqs], [[4, 4, 3], upTo(11)]);
  await up.half.stop();
});

Deno.test("what was read ahead is kept while the batch before it is tried again", async () => {
  const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 4 });
  up.fill(1, 12);
  up.store.failWith = new Error("connection refused");
  up.half.start();
  await settle();
  up.store.failWith = undefined;
  await up.clock.advance(10_000);
  assert.deepEqual(up.storedSeqs, upTo(12));
  await up.half.stop();
});

Deno.test("a read ahead that fails costs nothing but the time", async () => {
  const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 4 });
  const take = up.journal.take.bind(up.journal);
  let takes = 0;
  up.journal.take = (maxRows) => ++takes === 2 ? Promise.reject(new Error("EIO")) : take(maxRows);
  up.fill(1, 11);
  up.half.start();
  for (let i = 0; i < 5; i++) await settle();
  assert.deepEqual([up.storedSeqs, up.lines], [upTo(11), []]);
  await up.half.stop();
});

Deno.test(
  "a failed batch stays in hand and is stored exactly once when the store " +
    "returns",
  async () => {
    const up = new DeliverySetUp();
    up.half.start();
    up.store.failWith = new Error("connection refused");
    up.fill(1, 50);
    up.half.durable([]);
    await up.clock.advance(60_000);
    assert.equal(up.store.rows.length, 0);
    up.fill(51, 60);
    up.store.failWith = undefined;
    await up.clock.advance(10_000);
    assert.deepEqual(up.storedSeqs, upTo(60));
    await up.half.stop();
  },
);

Deno.test("a commit whose answer was lost is not written twice", async () => {
  const up = new DeliverySetUp();
  up.half.start();
  up.store.loseNextAnswer = true;
  up.fill(1, 50);
  up.half.durable([]);
  await up.clock.advance(10_000);
  assert.deepEqual([up.store.rows.length, up.settledSeq], [50, 50]);
  await up.half.stop();
});

Deno.test(
  "a row that the store refuses goes to the dead letters; its neighbours are " +
    "stored at once, each once",
  async () => {
    const up = new DeliverySetUp();
    for (const seq of [1, 77, 78, 300]) up.store.refused.add(seq);
    up.fill(1, 300);
    up.half.start();
    const [refused, stored] = [up.wait(77), up.wait(79)];
    for (let i = 0; i < 20; i++) await settle();
    assert.deepEqual(up.store.dead.map(({ seq }) => seq), [1, 77, 78, 300]);
    assert.deepEqual(up.storedSeqs, upTo(300).filter((n) => !up.store.refused.has(n)));
    assert.deepEqual(up.forgotten, ["user1", "user77", "user78", "user300"]);
    assert.ok(!up.updates.flat().some((seq) => up.store.refused.has(seq)));
    assert.equal(up.journal.unsettled, 0);
    assert.deepEqual([await refused, await stored], ["dead", "stored"]);
    await up.half.stop();
  },
);

Deno.test("a refused row of a batch whose answer was lost is not taken for flushed", async () => {
  const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 10 });
  up.store.refused.add(1);
  up.store.loseNextAnswer = true;
  up.fill(1, 2);
  up.half.start();
  const [refused, stored] = [up.wait(1, 60_000), up.wait(2, 60_000)];
  await up.clock.advance(10_000);
  assert.deepEqual([await refused, await stored], ["dead", "stored"]);
  assert.deepEqual([up.store.dead.length, up.settledSeq, up.updates.flat()], [1, 2, [2]]);
  await up.half.stop();
});

Deno.test("rows that are refused are one line of the log, however many", async () => {
  const up = new DeliverySetUp();
  for (const seq of upTo(900)) up.store.refused.add(seq);
  up.fill(1, 1_000);
  up.half.start();
  for (let i = 0; i < 20; i++) await settle();
  assert.equal(up.store.dead.length, 900);
  assert.equal(up.lines.length, 1);
  assert.match(up.lines[0]!, /"rows":900,"writeId":"instance0001-1","code":"23514"/);
  await up.half.stop();
});

Deno.test(
  "a table that refuses every row keeps the journal, says so, and gets all of it " +
    "once it takes rows again",
  async () => {
    const up = new DeliverySetUp();
    up.half.start();
    up.store.failWith = new StoreRefusesError("23502", "user_data takes no row at all");
    up.fill(1, 60);
    await up.clock.advance(30_000);
    assert.match(up.half.refusal!, /no row at all/);
    assert.deepEqual([up.store.rows.length, up.journal.unsettled], [0, 60]);
    up.store.failWith = undefined;
    await up.clock.advance(10_000);
    assert.equal(up.half.refusal, undefined);
    assert.deepEqual(up.store.batches, [60], "a refusal is no reason for smaller batches");
    await up.half.stop();
  },
);

Deno.test(
  "rows that are refused for themselves do not block those that come after, " +
    "though nothing else was there to tell",
  async () => {
    const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 100 });
    const put = up.store.put.bind(up.store);
    up.store.put = (source, entries, confirmedSeq) =>
      entries.every(({ seq }) => up.store.refused.has(seq))
        ? Promise.reject(new StoreRefusesError("23514", "user_data takes no row at all"))
        : put(source, entries, confirmedSeq);
    for (const seq of [1, 2, 3]) up.store.refused.add(seq);
    up.fill(1, 3);
    up.half.start();
    await up.clock.advance(10_000);
    assert.match(up.half.refusal!, /no row at all/);
    up.fill(4, 30);
    up.half.durable([]);
    await up.clock.advance(10_000);
    assert.deepEqual([up.store.dead.length, up.store.rows.length, up.journal.unsettled], [
      3,
      27,
      0,
    ]);
    assert.equal(up.half.refusal, undefined);
    await up.half.stop();
  },
);

Deno.test(
  "a batch is not let go of while others may read outdated copies and cannot be " +
    "told",
  async () => {
    const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 10 });
    up.cacheRefuses = true;
    up.outdate = () => Promise.reject(new Error("the store is away"));
    up.fill(1, 1);
    up.half.start();
    await up.clock.advance(20_000);
    assert.deepEqual([up.store.rows.length, up.settledSeq], [1, 0]);
    let told = 0;
    up.outdate = () => Promise.resolve(void told++);
    await up.clock.advance(20_000);
    assert.deepEqual([up.store.rows.length, up.settledSeq, told], [1, 1, 1]);
    await up.half.stop();
  },
);

Deno.test("a store too slow for a whole batch gets it in pieces, in order, each once", async () => {
  const up = new DeliverySetUp();
  const put = up.store.put.bind(up.store);
  up.store.put = (source, entries, confirmedSeq) =>
    entries.length > 100
      ? Promise.reject(new Error("no answer within 5000 ms"))
      : put(source, entries, confirmedSeq);
  up.fill(1, 1_000);
  up.half.start();
  await up.clock.advance(120_000);
  assert.deepEqual(up.storedSeqs, upTo(1_000));
  await up.half.stop();
});

Deno.test(
  "entries that a crash replays below the mark are not written again; one may " +
    "have been refused: the cache forgets it",
  async () => {
    const up = new DeliverySetUp();
    up.store.markOf.set(SOURCE, 50);
    up.fill(1, 50);
    const outcome = up.wait(7);
    up.half.start();
    await settle();
    assert.deepEqual([up.store.rows.length, up.settledSeq], [0, 50]);
    assert.deepEqual(up.updates.flat(), []);
    assert.equal(up.forgotten.length, 50);
    assert.equal(await outcome, "settled", "nobody can say that it is a row");
    await up.half.stop();
  },
);

Deno.test(
  "what is flushed goes to the cache before the journal lets go of it, and that " +
    "before it stops being pending",
  async () => {
    const up = new DeliverySetUp({ size: 2, intervalMs: 1_000, max: 10 });
    up.fill(1, 2);
    up.half.start();
    await settle();
    assert.deepEqual(up.events, [
      "cache has 2, of 2 2 pending",
      "told 2, the journal has settled 2",
    ]);
    assert.equal(up.pending.users, 0);
    await up.half.stop();
  },
);

Deno.test(
  "a flushed acknowledgement comes after the commit, or says that its time is up",
  async () => {
    const up = new DeliverySetUp();
    up.half.start();
    up.fill(1, 1);
    const inTime = up.wait(1);
    await up.clock.advance(2_000);
    assert.equal(await inTime, "stored");
    up.store.failWith = new Error("down");
    up.fill(2, 2);
    const tooLate = up.wait(2);
    await up.clock.advance(10_000);
    assert.equal(await tooLate, "time is up");
    await up.half.stop();
  },
);

Deno.test(
  "durable entries go to the cache as they come; what the flush is about to " +
    "bring does not come after it",
  async () => {
    const up = new DeliverySetUp({ size: 10, intervalMs: 1_000, max: 10 });
    const firstUpdate = Promise.withResolvers<void>();
    const offer = up.cache.offer.bind(up.cache);
    up.cache.offer = async (entries) => {
      await firstUpdate.promise;
      return await offer(entries);
    };
    up.half.start();
    up.fill(1, 3);
    const [first, second, third] = up.journal.entries;
    up.half.durable([first!]);
    up.half.durable([second!]);
    up.half.durable([third!]);
    await up.clock.advance(1_000);
    assert.deepEqual(up.updates, [[1, 2, 3]], "the flush");
    firstUpdate.resolve();
    await settle();
    assert.deepEqual(up.updates, [[1, 2, 3], [1]], "2 and 3 were left to the flush");
    await up.half.stop();
  },
);

Deno.test(
  "a new half goes on where the last one was stopped, whatever that one had in " +
    "hand",
  async () => {
    const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 4 });
    const late = Promise.withResolvers<void>();
    const put = up.store.put.bind(up.store);
    up.store.put = async (...args) => {
      const result = await put(...args);
      await late.promise;
      return result;
    };
    up.fill(1, 10);
    up.half.start();
    await settle();
    const [stopped] = [up.half.stop(), up.half.giveUp()];
    up.store.put = put;
    up.newHalf().start();
    for (let i = 0; i < 20; i++) await settle();
    late.resolve();
    await stopped;
    await settle();
    assert.deepEqual(up.storedSeqs, upTo(10));
    assert.equal(up.journal.unsettled, 0);
    assert.deepEqual(up.events.filter((event) => event.startsWith("told 4")).length, 1);
    await up.half.stop();
  },
);

Deno.test("stopping leaves no timer behind", async () => {
  const up = new DeliverySetUp();
  up.half.start();
  up.fill(1, 1);
  await up.half.stop();
  assert.equal(up.clock.timers, 0);
});
