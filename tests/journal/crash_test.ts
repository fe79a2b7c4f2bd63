/**
 * The journal between clients and a store, on a simulated disk: with crashes, power losses, full
 * and failing disks, and a store that goes back, over many seeds. What became durable is in the
 * store in the end, once, and no number is given out twice.
 */
import assert from "node:assert/strict";
import { type Entry, writeId } from "../../src/domain.ts";
import { AppError } from "../../src/errors.ts";
import { type Journal, openJournal } from "../../src/journal/journal.ts";
import type { Batch } from "../../src/ports/source.ts";
import { SimulatedDisk } from "../simulation/disk.ts";
import { type Process, SimulatedClock, World } from "../simulation/world.ts";
import { DIR } from "../support/journals.ts";

/** Some 5 seconds. */
const SEEDS = 100;
const CRASHES = 6;

/** As a store is: a mark a source, and rows that came with it, which can be restored. */
class MarkedStore {
  #rows: Batch["entries"] = [];
  #marks = new Map<string, number>();
  #backups: { rows: Batch["entries"]; marks: Map<string, number> }[] = [];

  get rows(): readonly Entry[] {
    return this.#rows;
  }

  mark(source: string): number {
    return this.#marks.get(source) ?? 0;
  }

  put({ source, entries, lastSeq }: Batch): void {
    const mark = this.mark(source);
    this.#rows = [...this.#rows, ...entries.filter(({ seq }) => seq > mark)];
    this.#marks.set(source, Math.max(mark, lastSeq));
  }

  backUp(): void {
    this.#backups.push({ rows: this.#rows, marks: new Map(this.#marks) });
  }

  restore(pick: <T>(items: readonly T[]) => T): void {
    if (this.#backups.length === 0) return;
    const { rows, marks } = pick(this.#backups);
    this.#rows = rows;
    this.#marks = new Map(marks);
    this.#backups = [];
  }
}

class Life {
  readonly store = new MarkedStore();
  /** Clients were told that these are durable. */
  readonly promised = new Map<string, Entry>();
  readonly given = new Map<string, Entry>();
  journal: Journal | undefined;
  /** Of this run: told of, and not settled. */
  #unsettled = new Set<string>();
  #process: Process = { alive: false };
  readonly #disk: SimulatedDisk;
  /** Everything settled stays, so that the store may go back. */
  readonly #keeps: boolean;
  readonly #retainMs: number;
  readonly #maxBytes: number;

  constructor(readonly world: World) {
    const { random } = world;
    this.#disk = new SimulatedDisk(world);
    this.#keeps = random.chance(0.6);
    this.#retainMs = this.#keeps ? 3_600_000 : random.pick([0, 300]);
    this.#maxBytes = this.#keeps ? 1 << 20 : random.pick([64 * 1024, 1 << 20]);
  }

  async open(): Promise<void> {
    const process = this.#process = { alive: true };
    const clock = new SimulatedClock(this.world, process, () => 1_700_000_000_000);
    this.#unsettled = new Set();
    this.journal = await openJournal({
      dir: DIR,
      maxBytes: this.#maxBytes,
      segmentBytes: 5_000 + this.world.random.below(10_000),
      retainMs: this.#retainMs,
      fs: this.#disk.mount(process),
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
      setInterval: (callback, ms) => clock.setInterval(callback, ms),
      listener: {
        durable: (entries) => entries.forEach((entry) => this.#unsettled.add(writeId(entry))),
        withdrawn: () => {},
        unsettled: (entry) => this.#unsettled.add(writeId(entry)),
      },
    });
  }

  crash(): void {
    this.#process.alive = false;
    this.#disk.kill(this.#process);
    this.journal = undefined;
    if (this.world.random.chance(0.5)) this.#disk.losePower();
  }

  faults(on: boolean): void {
    const { random } = this.world;
    Object.assign(this.#disk.faults, {
      failedWrites: on && random.chance(0.3) ? 0.05 : 0,
      failedReads: on && random.chance(0.3) ? 0.05 : 0,
      full: on && random.chance(0.2),
    });
  }

  async write(): Promise<void> {
    const { journal, world } = this;
    if (journal === undefined) return;
    const value = `${this.given.size}:`.padEnd(world.random.below(600), "x");
    try {
      const { entry, durable } = journal.push({ userId: "u", value, ts: 1 });
      assert.ok(!this.given.has(writeId(entry)), `${writeId(entry)} is given out twice`);
      this.given.set(writeId(entry), entry);
      await durable;
      this.promised.set(writeId(entry), entry);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
  }

  /** Until an error, or until all is stored. */
  async deliver(): Promise<void> {
    const { journal, world: { random }, store } = this;
    if (journal === undefined) return;
    try {
      for (const [source, settledSeq] of await journal.open()) {
        if (store.mark(source) >= settledSeq) continue;
        const { missingThrough } = await journal.rewind(source, store.mark(source));
        assert.equal(missingThrough, undefined, "everything is kept");
      }
      this.#checkUnsettled(journal);
      for (let batch; (batch = await journal.take(1 + random.below(20)));) {
        // The store may be restored between two looks at its marks; then delivery begins anew.
        if (this.#keeps && random.chance(0.05)) {
          return this.store.restore((items) => random.pick(items));
        }
        store.put(batch);
        if (random.chance(0.1)) store.backUp();
        if (random.chance(0.1)) return;
        await journal.settle(batch);
        for (const entry of batch.entries) this.#unsettled.delete(writeId(entry));
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
    }
  }

  /** What waits for the store can be read all the time, beside takes and rewinds. */
  async read(): Promise<void> {
    const { journal, promised, world: { random } } = this;
    const unsettled = this.#unsettled;
    if (journal === undefined || promised.size === 0) return;
    const entry = random.pick([...promised.values()].slice(-30));
    const waits = () =>
      unsettled.has(writeId(entry)) &&
      !this.store.rows.some(({ run, seq }) => run === entry.run && seq === entry.seq);
    const waited = waits();
    try {
      const found = await journal.read(entry.run, entry.seq);
      if (found !== undefined) assert.deepEqual(found, entry);
      else assert.ok(!waited || !waits(), `${writeId(entry)} waits, and cannot be read`);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
    }
  }

  /** Every promise is kept by the store, or by an entry of which the other half knows. */
  #checkUnsettled(journal: Journal): void {
    const stored = new Set(this.store.rows.map(writeId));
    for (const id of this.promised.keys()) {
      assert.ok(stored.has(id) || this.#unsettled.has(id), `${id} is neither stored nor told of`);
    }
    const { depth, bytes, retainedBytes } = journal.status();
    assert.ok(depth >= this.#unsettled.size, `${depth} of ${this.#unsettled.size}`);
    assert.ok(retainedBytes <= bytes);
  }

  checkEnd(): void {
    const { journal, store } = this;
    const ids = store.rows.map(writeId);
    const stored = new Set(ids);
    assert.equal(stored.size, ids.length, "nothing is stored twice");
    for (const id of this.promised.keys()) assert.ok(stored.has(id), `${id} is lost`);
    for (const [id, { run, seq }] of this.given) {
      const stage = journal!.stageOf(run, seq);
      if (stored.has(id)) assert.equal(stage, "settled", `${id} is ${stage}, and stored`);
      else assert.match(stage, /withdrawn|unknown/, `${id} is ${stage}, and not stored`);
    }
    const { depth, settled, durable } = journal!.status();
    assert.deepEqual([depth, journal!.unsettled], [0, 0]);
    assert.ok(settled >= durable);
  }
}

async function live(life: Life): Promise<void> {
  const { world } = life;
  for (let crash = 0; crash <= CRASHES; crash++) {
    life.faults(false);
    await life.open();
    const last = crash === CRASHES;
    life.faults(!last);
    let ended = false;
    const writers = Array.from({ length: 3 }, async () => {
      while (!ended) {
        await life.write();
        await world.delay(world.random.between(1, 30), "next write");
      }
    });
    const delivery = (async () => {
      while (!ended) {
        await life.deliver();
        await world.delay(world.random.between(5, 50), "next delivery");
      }
    })();
    const reader = (async () => {
      while (!ended) {
        await life.read();
        await world.delay(world.random.between(1, 30), "next read");
      }
    })();
    const failed = Promise.all([...writers, delivery, reader]);
    await Promise.race([world.delay(world.random.between(20, 1_500), "until the crash"), failed]);
    ended = true;
    if (last) await failed;
    else {
      failed.catch((error) => world.violated(String(error)));
      life.crash();
    }
  }
  while (life.journal!.unsettled > 0) await life.deliver();
  // The store may have gone back at the very last.
  await life.deliver();
  while (life.journal!.unsettled > 0) await life.deliver();
  life.checkEnd();
  await life.journal!.close();
}

async function runSeed(seed: number): Promise<void> {
  const world = new World(seed);
  let done = false;
  let failure: unknown;
  const beat = () => void world.after(5, "beat", beat);
  beat();
  live(new Life(world)).catch((error) => failure = error).finally(() => done = true);
  while (!done) await world.step();
  if (failure !== undefined) throw new Error(`seed ${seed}: ${failure}`, { cause: failure });
}

Deno.test("whatever fails or goes back, what was durable is stored once", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await runSeed(seed);
});
