import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import { Adoption, type AdoptionOptions } from "../../src/adopting/adoption.ts";
import type { Neighbours } from "../../src/disk/neighbours.ts";
import { StoreUnavailableError, TermOverError } from "../../src/errors.ts";
import { STORE_FILE } from "../../src/guarding/store_binding.ts";
import type { Journal } from "../../src/journal/journal.ts";
import type { Term } from "../../src/ports/terms.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { FakeStore, idleMetrics } from "../support/fakes.ts";
import { open, pushAll, segmentPaths } from "../support/journals.ts";
import { MemoryGroups } from "../support/memory_groups.ts";

const TERM: Term = { number: 1, leader: "leader000001" };
const AFTER_MS = 1_000;

/** One other data directory, `/data`, with what looks at it. */
class SetUp {
  readonly fs = new FakeFileSystem();
  readonly store = new FakeStore();
  readonly clock = new FakeClock();
  readonly metrics = idleMetrics();
  readonly lines: string[] = [];
  readonly asked: string[] = [];
  readonly told: { updated: string[]; forgotten: string[] } = { updated: [], forgotten: [] };
  readonly groups = new MemoryGroups(this.store.tables);
  term = TERM;
  own: string | undefined = "adopter00000";
  directories = () => Promise.resolve(["/data", "/no-data"]);
  /** Called before each transaction. */
  before: () => void = () => {};
  readonly adoption: Adoption;

  constructor(options: Partial<AdoptionOptions> = {}) {
    const neighbours: Neighbours = {
      directories: () => this.directories(),
      isLocked: (path) => {
        this.asked.push(path);
        return Promise.resolve(this.fs.isLocked(path));
      },
    };
    this.adoption = new Adoption({ from: "/", afterMs: AFTER_MS, maxRows: 2, ...options }, {
      fs: this.fs,
      neighbours,
      store: {
        store: this.store,
        identity: {
          identify: () => Promise.resolve(this.store.tables.identity),
          outdateCopies: () => Promise.resolve(this.store.tables.outdateCopies()),
        },
        within: (term) => {
          const check = () => {
            this.before();
            if (term !== this.term) throw new TermOverError("it is over");
          };
          return {
            open: async (source) => (check(), await this.store.open(source)),
            put: async (...what) => (check(), await this.store.put(...what)),
            apply: async (groups) => (check(), await this.groups.apply(groups)),
            fold: async (...what) => (check(), await this.groups.fold(...what)),
          };
        },
      },
      cache: {
        update: (entries) => {
          this.told.updated.push(...entries.map(({ value }) => value));
          return Promise.resolve();
        },
        forget: (entries) => {
          // What it is given has values, which it does not ask for.
          this.told.forgotten.push(...(entries as readonly Entry[]).map(({ value }) => value));
          return Promise.resolve();
        },
      },
      clock: this.clock,
      metrics: this.metrics,
      log: new Log("info", "json", (line) => this.lines.push(JSON.parse(line).message)),
      instance: () => this.own,
    });
    this.bind(this.store.tables.identity.id);
  }

  bind(identity: string | null): void {
    const text = JSON.stringify({ kind: "postgres", identity, place: "here" });
    this.fs.put(`/data/${STORE_FILE}`, new TextEncoder().encode(text));
  }

  /** A journal with these values, each a group, whose owner is at work. */
  async journal(values: readonly string[]): Promise<Journal> {
    const { journal } = await open(this.fs);
    for (const value of values) await pushAll(journal, [value]);
    return journal;
  }

  /** Its owner is gone without a word. */
  kill(): void {
    const files = this.fs.takeAway("/data/journal");
    for (const [path, { content }] of files) this.fs.put(path, content);
  }

  async look(): Promise<void> {
    await this.adoption.run(TERM, new AbortController().signal);
  }

  /** Looks, and looks again once it was gone for long enough. */
  async lookTwice(): Promise<void> {
    await this.look();
    await this.clock.advance(AFTER_MS);
    await this.look();
  }

  get values(): string[] {
    return this.store.rows.map(({ value }) => value);
  }

  failures(): Promise<number> {
    return this.metrics.adoptionFailures.get().then(({ values }) => values[0]?.value ?? 0);
  }
}

Deno.test("what an instance has left is brought to the store once it was gone for long enough", async () => {
  const up = new SetUp();
  await up.journal(["a", "b", "c"]);
  await up.lookTwice();
  assert.deepEqual(up.values, [], "it is at work");
  up.kill();
  await up.look();
  await up.clock.advance(AFTER_MS - 1);
  await up.look();
  assert.deepEqual(up.values, []);
  await up.clock.advance(1);
  await up.look();
  assert.deepEqual(up.values, ["a", "b", "c"]);
  assert.deepEqual(up.store.batches, [2, 1], "in transactions of so many rows");
  assert.deepEqual(up.told, { updated: ["a", "b", "c"], forgotten: [] });
  assert.deepEqual(up.lines, [
    "An instance is gone: its journal is adopted",
    "The journal is adopted: the store has its writes",
  ]);
  assert.equal((await up.metrics.adoptedWrites.get()).values[0]!.value, 3);
});

Deno.test("what was adopted is not read again, until the store lacks it", async () => {
  const up = new SetUp();
  await up.journal(["a", "b"]);
  const backup = up.store.tables.snapshot();
  up.kill();
  await up.lookTwice();
  const events = up.fs.events.length;
  await up.look();
  assert.equal(up.fs.events.length, events, "not even synced");
  up.store.tables.restore(backup, () => {});
  await up.look();
  assert.deepEqual(up.values, ["a", "b"]);
});

Deno.test("another leader tells the caches of what the one before it may not have told them", async () => {
  const up = new SetUp();
  const journal = await up.journal(["a", "b", "c"]);
  up.kill();
  await up.store.open(journal.run);
  const batch = await journal.take(2);
  await up.store.put(journal.run, batch!.entries, 0);
  await up.lookTwice();
  assert.deepEqual(up.values, ["a", "b", "c"]);
  assert.deepEqual(up.told, { updated: ["c"], forgotten: ["a", "b"] });
});

Deno.test("a run that a broker may have goes by its groups", async () => {
  const up = new SetUp();
  const journal = await up.journal(["a", "b", "c"]);
  const text = JSON.stringify({ runs: [journal.run] });
  up.fs.put("/data/forwarded", new TextEncoder().encode(text));
  const [first, second] = [journal.groups(() => true), journal.groups(() => true)];
  await up.groups.apply([(await first.take())!]);
  await second.take();
  await up.groups.apply([(await second.take())!]);
  up.kill();
  await up.lookTwice();
  assert.deepEqual(up.values, ["a", "b", "c"]);
  assert.deepEqual(up.store.batches, [], "nothing is put");
  assert.equal(up.store.markOf.get(journal.run), 3);
  assert.deepEqual(up.told, { updated: [], forgotten: ["a", "b", "c"] });
});

Deno.test("an owner that comes back between two batches goes on itself", async () => {
  const up = new SetUp();
  await up.journal(["a", "b", "c", "d", "e"]);
  up.kill();
  await up.look();
  await up.clock.advance(AFTER_MS);
  let owner: Journal | undefined;
  const opened = Promise.withResolvers<void>();
  const put = up.store.put.bind(up.store);
  up.store.put = async (...what) => {
    if (owner === undefined) {
      ({ journal: owner } = await open(up.fs));
      opened.resolve();
    }
    return await put(...what);
  };
  await up.look();
  await opened.promise;
  assert.deepEqual(up.values, ["a", "b"]);
  assert.equal(up.lines.at(-1), "The instance is back, and goes on with its journal itself");
  const batch = (await owner!.take(10))!;
  await up.store.put(batch.source, batch.entries, 0);
  await owner!.settle(batch);
  assert.deepEqual(up.values, ["a", "b", "c", "d", "e"]);
  assert.equal(await up.failures(), 0);
  await owner!.close();
});

Deno.test("an owner that was back unseen between two steps has its journal read anew", async () => {
  const up = new SetUp();
  await up.journal(["a", "b", "c", "d", "e"]);
  up.kill();
  await up.look();
  await up.clock.advance(AFTER_MS);
  // A transaction takes so long that the step is over after it.
  up.before = () => void up.clock.advance(10_000);
  await up.look();
  assert.deepEqual(up.values, ["a", "b"]);
  up.before = () => {};
  const { journal } = await open(up.fs);
  await pushAll(journal, ["f"]);
  up.kill();
  await up.look();
  assert.deepEqual(up.values, ["a", "b", "c", "d", "e", "f"]);
});

Deno.test("its own directory an instance does not ask for its lock, nor before it knows which one that is", async () => {
  const up = new SetUp();
  const journal = await up.journal(["a"]);
  up.own = undefined;
  await up.lookTwice();
  up.own = journal.status().instance;
  await up.lookTwice();
  assert.deepEqual([up.asked, up.values], [[], []]);
});

Deno.test("a directory of another store, or of one that was never reached, is left alone, and told of once", async () => {
  for (const identity of ["11111111-0000-4000-8000-000000000000", null]) {
    const up = new SetUp();
    up.bind(identity);
    await up.journal(["a"]);
    up.kill();
    await up.lookTwice();
    await up.clock.advance(60_000);
    await up.look();
    assert.deepEqual(up.values, []);
    assert.deepEqual(up.lines, ["The journal of an instance that is gone is left alone"]);
    assert.equal(await up.failures(), 1);
  }
});

Deno.test("a term that is over ends it, and leaves nothing", async () => {
  const up = new SetUp();
  await up.journal(["a", "b", "c"]);
  up.kill();
  await up.look();
  await up.clock.advance(AFTER_MS);
  let transactions = 0;
  up.before = () => {
    if (++transactions === 3) up.term = { number: 2, leader: "leader000002" };
  };
  await assert.rejects(up.look(), TermOverError);
  assert.deepEqual(up.values, ["a", "b"]);
  assert.equal(await up.failures(), 0);
});

Deno.test("a store that is away is a failure of the whole look, and the next one goes on", async () => {
  const up = new SetUp();
  await up.journal(["a", "b", "c"]);
  up.kill();
  await up.look();
  await up.clock.advance(AFTER_MS);
  up.store.loseNextAnswer = true;
  await assert.rejects(up.look(), StoreUnavailableError);
  assert.equal(await up.failures(), 1);
  await up.look();
  assert.deepEqual(up.values, ["a", "b", "c"]);
  assert.deepEqual(up.told.forgotten, ["a", "b"], "nobody knows what became of these");
});

Deno.test("a signal ends it after the transaction that is under way", async () => {
  const up = new SetUp();
  await up.journal(["a", "b", "c", "d", "e"]);
  up.kill();
  await up.look();
  await up.clock.advance(AFTER_MS);
  const stop = new AbortController();
  up.before = () => stop.abort();
  await up.adoption.run(TERM, stop.signal);
  assert.equal(up.values.length <= 2, true, `${up.values}`);
  up.before = () => {};
  await up.look();
  assert.deepEqual(up.values, ["a", "b", "c", "d", "e"]);
});

Deno.test("a volume that is not there is told of with what to do", async () => {
  const up = new SetUp();
  up.directories = () => Promise.reject(new Error("no such directory"));
  await assert.rejects(up.look(), /Cannot list ADOPT_FROM=\/: no such directory\. Mount it there/);
});

Deno.test("a journal that lacks a segment is left alone", async () => {
  const up = new SetUp();
  await up.journal(["a", "b"]);
  up.kill();
  // Its checkpoint knows of what was there at its start alone, so it has to be started once more.
  const { journal } = await open(up.fs);
  await pushAll(journal, ["c"]);
  up.kill();
  up.fs.takeAway(segmentPaths(up.fs)[0]!);
  await up.lookTwice();
  assert.deepEqual(up.values, []);
  assert.deepEqual(up.lines, ["The journal of an instance that is gone is left alone"]);
});
