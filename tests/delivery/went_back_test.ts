import assert from "node:assert/strict";
import { StoreWentBackError } from "../../src/errors.ts";
import { DeliverySetUp, SOURCE, upTo } from "../support/delivery.ts";
import { settle } from "../support/fake_clock.ts";
import { entry, INSTANCE } from "../support/fakes.ts";

/** What a restored backup does. */
function goBack({ store }: DeliverySetUp, through: number): void {
  store.tables.rows = store.rows.filter(({ seq }) => seq <= through);
  store.markOf.set(SOURCE, through);
}

Deno.test(
  "a store that went back is reported once, and gets again what the journal has " +
    "kept, before all else",
  async () => {
    const up = new DeliverySetUp({ size: 50, intervalMs: 1_000, max: 100 });
    up.half.start();
    up.fill(1, 30);
    await up.clock.advance(1_000);
    assert.equal(up.store.rows.length, 30);
    goBack(up, 20);
    up.fill(31, 45);
    await up.clock.advance(5_000);
    assert.deepEqual(up.storedSeqs, upTo(45));
    assert.equal(up.journal.unsettled, 0);
    assert.equal(up.lines.length, 1);
    assert.match(up.lines[0]!, /still has all of them/);
    assert.match(up.lines[0]!, /"firstLostSeq":21,"lastLostSeq":30,"writes":10,"sentAgain":10/);
    const { text } = await up.metrics.expose(false);
    assert.match(text, /dsproxy_store_went_back_total 1\n/);
    assert.match(text, /dsproxy_store_went_back_writes_total 10\n/);
    await up.half.stop();
  },
);

Deno.test("a store that goes back while nobody writes is noticed within seconds", async () => {
  const up = new DeliverySetUp();
  up.half.start();
  up.fill(1, 30);
  await up.clock.advance(2_000);
  goBack(up, 20);
  await up.clock.advance(10_000);
  assert.deepEqual(up.storedSeqs, upTo(30));
  await up.half.stop();
});

Deno.test("no copy from before counts any more once the store went back", async () => {
  const up = new DeliverySetUp({ size: 50, intervalMs: 1_000, max: 100 });
  up.half.start();
  up.fill(1, 30);
  await up.clock.advance(1_000);
  assert.equal(up.generations, 0);
  goBack(up, 20);
  up.fill(31, 45);
  const outdate = up.outdate;
  up.outdate = () => Promise.reject(new Error("no answer"));
  await up.clock.advance(5_000);
  assert.deepEqual(up.storedSeqs, upTo(20), "nothing is sent before the others could be told");
  up.outdate = outdate;
  await up.clock.advance(10_000);
  assert.deepEqual(up.storedSeqs, upTo(45));
  assert.equal(up.generations, 1);
  await up.half.stop();
});

Deno.test("what the journal has not kept is said to be gone", async () => {
  const up = new DeliverySetUp({ size: 50, intervalMs: 1_000, max: 100 });
  up.half.start();
  up.fill(1, 30);
  await up.clock.advance(1_000);
  up.journal.forget();
  goBack(up, 20);
  up.fill(31, 45);
  await up.clock.advance(5_000);
  assert.deepEqual(up.storedSeqs, [...upTo(20), ...upTo(45, 31)]);
  assert.match(up.lines[0]!, /"writes":10,"sentAgain":0,"goneThroughSeq":30/);
  await up.half.stop();
});

Deno.test(
  "a store that went back within a batch gets all of it again, and nothing is " +
    "reported lost",
  async () => {
    const up = new DeliverySetUp({ size: 50, intervalMs: 1_000, max: 100 });
    const put = up.store.put.bind(up.store);
    let puts = 0;
    up.store.put = async (...args) => {
      if (++puts === 1) throw new Error("no answer: from now on in halves");
      if (puts === 3) goBack(up, 0);
      return await put(...args);
    };
    up.fill(1, 100);
    up.half.start();
    await up.clock.advance(10_000);
    assert.deepEqual(up.storedSeqs, upTo(100));
    assert.deepEqual(up.lines, []);
    await up.half.stop();
  },
);

Deno.test("what had been settled before is held against the store at the start", async () => {
  const up = new DeliverySetUp();
  up.fill(1, 500);
  up.journal.settledThrough.set(SOURCE, 500);
  up.store.markOf.set(SOURCE, 480);
  up.half.start();
  await up.clock.advance(5_000);
  assert.match(up.lines[0]!, /"firstLostSeq":481,"lastLostSeq":500/);
  assert.deepEqual(up.storedSeqs, upTo(500, 481));
  await up.half.stop();
});

Deno.test(
  "a database that knows nothing of a source at all gets everything that was " +
    "kept",
  async () => {
    const up = new DeliverySetUp();
    up.fill(1, 60);
    up.journal.settledThrough.set(SOURCE, 60);
    up.half.start();
    await up.clock.advance(5_000);
    assert.deepEqual(up.storedSeqs, upTo(60));
    await up.half.stop();
  },
);

Deno.test("a store that went back while nothing was written is noticed all the same", async () => {
  const up = new DeliverySetUp();
  up.half.start();
  up.fill(1, 50);
  await up.clock.advance(5_000);
  goBack(up, 10);
  await up.clock.advance(70_000);
  assert.deepEqual(up.storedSeqs, upTo(50));
  await up.half.stop();
});

Deno.test(
  "a store that went back before the first batch of a new source is noticed with " +
    "that batch",
  async () => {
    const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 100 });
    up.half.start();
    up.fill(1, 50);
    await up.clock.advance(1_000);
    goBack(up, 10);
    up.journal.add(entry(1, { run: "run000000002", userId: "other", acceptedMs: 1_000 }));
    up.half.durable([]);
    await up.clock.advance(1_000);
    assert.equal(up.store.rows.length, 51);
    assert.deepEqual(
      up.store.rows.filter(({ run }) => run === SOURCE).map(({ seq }) => seq),
      upTo(50),
    );
    await up.half.stop();
  },
);

Deno.test(
  "a database that is exchanged between the look at its marks and the put gets " +
    "everything once",
  async () => {
    const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 100 });
    up.half.start();
    up.fill(1, 50);
    await up.clock.advance(1_000);
    const marks = up.store.marks.bind(up.store);
    let asked = 0;
    up.store.marks = async (sources) => {
      const found = await marks(sources);
      if (++asked > 1) return found;
      goBack(up, 0);
      up.store.markOf.delete(SOURCE);
      return found;
    };
    up.store.loseNextAnswer = true;
    up.fill(51, 60);
    up.half.durable([]);
    await up.clock.advance(60_000);
    assert.deepEqual(up.storedSeqs, upTo(60));
    assert.equal(up.journal.unsettled, 0);
    await up.half.stop();
  },
);

Deno.test("a way to two databases by turns does not make a step go on for ever", async () => {
  const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 100 });
  let puts = 0;
  up.store.put = () => {
    puts++;
    return Promise.reject(new StoreWentBackError("5 is below 9"));
  };
  up.fill(1, 3);
  up.half.start();
  await up.clock.advance(60_000);
  assert.ok(puts > 5 && puts < 100, `${puts} puts in a minute`);
  await up.half.stop();
});

Deno.test("pending has again what is sent again, until it is settled anew", async () => {
  const up = new DeliverySetUp({ size: 50, intervalMs: 1_000, max: 100 });
  up.journal.listener = { unsettled: (each) => up.pending.addDurable(each) };
  up.half.start();
  up.fill(1, 30);
  await up.clock.advance(1_000);
  assert.equal(up.pending.users, 0);
  goBack(up, 20);
  const put = up.store.put.bind(up.store);
  const late = Promise.withResolvers<void>();
  up.store.put = async (...args) => {
    await late.promise;
    return await put(...args);
  };
  up.fill(31, 31);
  await up.clock.advance(3_000);
  assert.equal(up.pending.users, 11);
  late.resolve();
  await settle();
  await up.clock.advance(3_000);
  assert.equal(up.pending.users, 0);
  await up.half.stop();
});

Deno.test("a store that went back with what another source sent ahead has all of it again", async () => {
  const up = new DeliverySetUp({ size: 1, intervalMs: 1_000, max: 4 });
  const later = "instance0002";
  up.fill(1, 4);
  up.half.start();
  await settle();
  assert.equal(up.settledSeq, 4);
  const backup = up.store.tables.snapshot();
  up.fill(5, 8);
  // There was nothing of it when delivery began.
  for (let seq = 1; seq <= 8; seq++) {
    up.journal.add(entry(seq, { run: later, userId: `later${seq}` }));
  }
  // The next batch cannot be settled, but what comes after it is in the store.
  up.cacheRefuses = true;
  up.outdate = () => Promise.reject(new Error("the store is away"));
  await up.clock.advance(1_100);
  assert.equal(up.store.markOf.get(later), 4);
  up.store.tables.restore(backup, () => {});
  up.cacheRefuses = false;
  await up.clock.advance(30_000);
  assert.equal(up.journal.unsettled, 0);
  const stored = up.store.rows.map(({ run, seq }) => `${run} ${seq}`).sort();
  const all = [INSTANCE, later].flatMap((run) => upTo(8).map((seq) => `${run} ${seq}`));
  assert.deepEqual(stored, all.sort());
  await up.half.stop();
});
