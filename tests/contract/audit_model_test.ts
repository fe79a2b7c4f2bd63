/**
 * Holds the audit against a model that knows what became of each number, while a store is put to,
 * cleared of dead letters, retired from, and changed behind its back, as chance has it.
 */
import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import type { Checked } from "../../src/ports/audit.ts";
import type { Interval } from "../../src/ports/group_store.ts";
import type { StorePorts } from "../../src/ports/store.ts";
import { entry } from "../support/fakes.ts";
import { Random } from "../support/random.ts";
import { type AuditUnderTest, RUN } from "./audit_suite.ts";
import { postgresUnderTest, sqliteUnderTest } from "./store_tables.ts";

type Tested = AuditUnderTest & Pick<StorePorts, "retention" | "terms">;

const SEEDS = [1, 2];
const STEPS = 60;
/** Every third write is old enough to be retired once a newer one hides it. */
const OLD = 10;
const OLDER_THAN = 1_000;

interface Fate {
  rows: number;
  isDead: boolean;
  /** So many reasons why it is gone were noted. */
  gone: number;
}

/** Knows what became of the numbers of one source. */
class Model {
  readonly fates: Fate[] = [];
  readonly random: Random;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  get mark(): number {
    return this.fates.length;
  }

  which(wanted: (fate: Fate) => boolean): number[] {
    return this.fates.flatMap((fate, i) => wanted(fate) ? [i + 1] : []);
  }

  some(wanted: (fate: Fate) => boolean): number | undefined {
    const seqs = this.which(wanted);
    return seqs.length === 0 ? undefined : this.random.pick(seqs);
  }

  fateOf(seq: number): Fate {
    return this.fates[seq - 1]!;
  }

  /** Makes further numbers: entries, of which some are refused, and gaps before them. */
  further(): Entry[] {
    const entries: Entry[] = [];
    const { random } = this;
    do {
      while (random.chance(0.15)) this.fates.push({ rows: 0, isDead: false, gone: 1 });
      const isDead = random.chance(0.1);
      this.fates.push({ rows: Number(!isDead), isDead, gone: 0 });
      entries.push(entry(this.mark, {
        ...{ run: RUN, userId: `u${random.below(4)}`, value: isDead ? "bad" : `v${this.mark}` },
        ts: random.chance(0.3) ? OLD : OLDER_THAN,
      }));
    } while (random.chance(0.9));
    return entries;
  }

  expected(first: number, last: number): Checked {
    const inRange = (seq: number) => seq >= first && seq <= last;
    const missing = this.which(isMissing).filter(inRange);
    const doubled = this.which((fate) => timesOf(fate) > 1).filter(inRange).map((seq) => ({
      seq,
      times: timesOf(this.fateOf(seq)),
    }));
    return {
      numbers: Math.max(0, Math.min(last, this.mark) - first + 1),
      missing: { first: intervalsOf(missing), numbers: missing.length },
      doubled: { first: doubled, numbers: doubled.length },
    };
  }
}

const timesOf = ({ rows, isDead }: Fate) => rows + Number(isDead);
const isMissing = (fate: Fate) => timesOf(fate) === 0 && fate.gone === 0;

function intervalsOf(seqs: readonly number[]): Interval[] {
  const intervals: { first: number; last: number }[] = [];
  for (const seq of seqs) {
    const before = intervals.at(-1);
    if (before?.last === seq - 1) before.last = seq;
    else intervals.push({ first: seq, last: seq });
  }
  return intervals;
}

type Step = (tested: Tested, model: Model) => Promise<void>;

/** What the service does itself; none of it may be found. */
const SERVICE: Readonly<Record<string, Step>> = {
  async put({ store }, model) {
    const confirmed = model.mark;
    const entries = model.further();
    await store.put(RUN, entries, confirmed);
    // Its answer was lost, and it is sent again.
    if (model.random.chance(0.3)) await store.put(RUN, entries, confirmed);
  },
  async discard({ deadLetters }, model) {
    const seq = model.some(({ isDead }) => isDead);
    if (seq === undefined) return;
    await deadLetters.discard(`${RUN}-${seq}`);
    const fate = model.fateOf(seq);
    [fate.isDead, fate.gone] = [false, fate.gone + 1];
  },
  async replay({ deadLetters, execute }, model) {
    const seq = model.some(({ isDead }) => isDead);
    if (seq === undefined) return;
    await execute(`update dsproxy_dead_letters set value = 'v${seq}' where seq = ${seq}`);
    await deadLetters.replay(`${RUN}-${seq}`);
    const fate = model.fateOf(seq);
    [fate.isDead, fate.rows] = [false, fate.rows + 1];
  },
  async retire(tested, model) {
    const before = await storedTimes(tested);
    await tested.retention!.retire(await tested.terms?.begin("leader"), OLDER_THAN, 10);
    const after = await storedTimes(tested);
    for (const [seq, times] of before) {
      const fate = model.fateOf(seq);
      fate.rows = after.get(seq) ?? 0;
      if (fate.rows < times) fate.gone++;
    }
  },
};

/** What somebody does behind its back. */
const PLANTED: Readonly<Record<string, Step>> = {
  async deleteRow({ execute }, model) {
    const seq = model.some(({ rows }) => rows > 0);
    if (seq === undefined) return;
    await execute(`delete from user_data where dsproxy_seq = ${seq}`);
    model.fateOf(seq).rows = 0;
  },
  async doubleRow({ execute }, model) {
    const seq = model.some(({ rows }) => rows === 1);
    if (seq === undefined) return;
    await execute(`insert into user_data select * from user_data where dsproxy_seq = ${seq}`);
    model.fateOf(seq).rows = 2;
  },
  async deleteDeadLetter({ execute }, model) {
    const seq = model.some(({ isDead }) => isDead);
    if (seq === undefined) return;
    await execute(`delete from dsproxy_dead_letters where seq = ${seq}`);
    model.fateOf(seq).isDead = false;
  },
  async moveMark({ execute }, model) {
    model.fates.push({ rows: 0, isDead: false, gone: 0 });
    await execute(`update dsproxy_marks set seq = ${model.mark} where source = '${RUN}'`);
  },
  async accept({ audit }, model) {
    const first = 1 + model.random.below(model.mark);
    const last = Math.min(model.mark, first + model.random.below(20));
    const missing = model.which(isMissing).filter((seq) => seq >= first && seq <= last);
    assert.equal(await audit!.accept(RUN, { first, last }, "known"), missing.length);
    for (const seq of missing) model.fateOf(seq).gone++;
  },
};

/** Each value tells the number of its row. */
async function storedTimes({ rows }: Tested): Promise<ReadonlyMap<number, number>> {
  const bySeq = Map.groupBy(await rows(), ({ value }) => Number(value!.slice(1)));
  return new Map([...bySeq].map(([seq, { length }]) => [seq, length]));
}

async function assertAgrees({ audit }: Tested, model: Model, hint: string): Promise<void> {
  const [source, ...others] = await audit!.survey();
  assert.equal(others.length, 0, hint);
  const all = model.expected(1, model.mark);
  assert.deepEqual(await audit!.check(RUN, 1, model.mark), all, hint);
  const first = 1 + model.random.below(model.mark);
  const last = first + model.random.below(30);
  assert.deepEqual(await audit!.check(RUN, first, last), model.expected(first, last), hint);
  const { mark, strays, rows, dead, gone, agrees } = source!;
  assert.deepEqual({ mark, strays, rows, dead }, {
    ...{ mark: model.mark, strays: 0 },
    rows: model.fates.reduce((sum, fate) => sum + fate.rows, 0),
    dead: model.which(({ isDead }) => isDead).length,
  }, hint);
  const reasons = Object.values(gone).reduce((sum, n) => sum + n, 0);
  assert.equal(reasons, model.fates.reduce((sum, fate) => sum + fate.gone, 0), hint);
  const isFound = all.missing.numbers + all.doubled.numbers > 0;
  if (isFound) assert.equal(agrees, false, `${hint}: something is to be found`);
  const isExact = model.fates.every((fate) => timesOf(fate) + fate.gone === 1);
  if (isExact) assert.equal(agrees, true, `${hint}: nothing is to be found`);
}

async function walk(make: () => Promise<Tested>, seed: number, steps: readonly Step[]) {
  await using tested = await make();
  const model = new Model(seed);
  await tested.store.open(RUN);
  await tested.refuse("the value bad");
  await SERVICE.put!(tested, model);
  for (let i = 0; i < STEPS; i++) {
    const step = model.random.chance(0.3) ? SERVICE.put! : model.random.pick(steps);
    await step(tested, model);
    await assertAgrees(tested, model, `seed ${seed}, step ${i}: ${step.name}`);
  }
}

for (
  const [name, make] of Object.entries({ PostgreSQL: postgresUnderTest, SQLite: sqliteUnderTest })
) {
  for (const seed of SEEDS) {
    Deno.test(`${name}: the audit finds nothing in what the service does, seed ${seed}`, () =>
      walk(make, seed, Object.values(SERVICE)));
    Deno.test(`${name}: the audit finds what is done behind its back, and only that, seed ${seed}`, () =>
      walk(make, seed, [...Object.values(SERVICE), ...Object.values(PLANTED)]));
  }
}
