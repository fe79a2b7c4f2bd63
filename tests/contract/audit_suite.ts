/** What every Audit keeps to, by the words of src/ports/audit.ts. */
import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import type { Audit, Checked, SurveyedSource } from "../../src/ports/audit.ts";
import type { Store, StorePorts } from "../../src/ports/store.ts";
import { entry } from "../support/fakes.ts";
import type { Tables } from "./store_under_test.ts";

export interface AuditUnderTest extends Pick<StorePorts, "store" | "deadLetters">, Tables {
  readonly audit?: Audit;
  /** Does as another program would, behind the back of the service. */
  execute(sql: string): Promise<void>;
}

export const RUN = "run000000001";
const NOTHING = { retired: 0, discarded: 0, withdrawn: 0, accepted: 0 };
const CLEAN = { missing: { first: [], numbers: 0 }, doubled: { first: [], numbers: 0 } };

export function entries(first: number, last: number, value = "v"): Entry[] {
  return Array.from(
    { length: last - first + 1 },
    (_, i) => entry(first + i, { run: RUN, value: `${value}${first + i}` }),
  );
}

export async function stored(
  { store }: { readonly store: Store },
  ...batches: readonly (readonly Entry[])[]
): Promise<void> {
  let mark = await store.open(RUN);
  for (const batch of batches) {
    await store.put(RUN, batch, mark);
    mark = batch.at(-1)!.seq;
  }
}

export function auditContract(name: string, make: () => Promise<AuditUnderTest>): void {
  type Tested = AuditUnderTest & { readonly audit: Audit };
  const test = (behaviour: string, work: (tested: Tested) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await make();
      await work(tested as Tested);
    });
  const only = async ({ audit }: Tested): Promise<SurveyedSource> => {
    const [source, ...others] = await audit.survey();
    assert.deepEqual(others, []);
    return source!;
  };
  const checked = ({ audit }: Tested): Promise<Checked> => audit.check(RUN, 1, 1_000_000);

  test("what was put and is there agrees, number by number", async (tested) => {
    await stored(tested, entries(1, 50), entries(51, 60));
    assert.deepEqual(await only(tested), {
      ...{ source: RUN, unknownThrough: 0, mark: 60, rows: 60, strays: 0, dead: 0 },
      ...{ gone: NOTHING, agrees: true },
    });
    assert.deepEqual(await checked(tested), { numbers: 60, ...CLEAN });
    assert.deepEqual(await tested.audit.check(RUN, 10, 19), { numbers: 10, ...CLEAN });
  });

  test("a store of nothing agrees", async ({ audit, store }) => {
    await store.open(RUN);
    const [source] = await audit.survey();
    assert.deepEqual([source!.mark, source!.agrees], [0, true]);
    assert.deepEqual(await audit.check(RUN, 1, 10), { numbers: 0, ...CLEAN });
    assert.deepEqual(await audit.check("never heard of", 1, 10), { numbers: 0, ...CLEAN });
  });

  test("numbers that never became durable are gone, not missing", async (tested) => {
    const some = [...entries(3, 5), ...entries(8, 9)];
    await stored(tested, some, entries(15, 15), entries(16, 20));
    const { gone, agrees, rows } = await only(tested);
    assert.deepEqual([gone.withdrawn, rows, agrees], [2 + 2 + 5, 11, true]);
    assert.deepEqual(await checked(tested), { numbers: 20, ...CLEAN });
  });

  test("numbers that were stored once, and cannot be sent again, are missing", async (tested) => {
    const mark = await tested.store.open(RUN);
    const some = [...entries(5, 6), ...entries(9, 10), ...entries(12, 13)];
    await tested.store.put(RUN, some, mark, () => {}, 8);
    assert.equal((await only(tested)).agrees, false);
    const { missing } = await checked(tested);
    assert.deepEqual(missing.first, [{ first: 1, last: 4 }, { first: 7, last: 8 }]);
    assert.equal((await only(tested)).gone.withdrawn, 1);
    await tested.store.put(RUN, entries(16, 16), 13, () => {}, 8);
    assert.equal((await checked(tested)).missing.numbers, 6, "what follows is as ever");
  });

  test("dead letters count, discarded and replayed ones too", async (tested) => {
    await tested.store.open(RUN); // It makes the tables.
    const accept = await tested.refuse("the value bad");
    const some = entries(1, 9).map((one) => one.seq % 3 === 0 ? { ...one, value: "bad" } : one);
    await stored(tested, some);
    await accept();
    const { dead, agrees, rows } = await only(tested);
    assert.deepEqual([dead, rows, agrees], [3, 6, true]);
    await tested.deadLetters.replay(`${RUN}-3`);
    await tested.deadLetters.discard(`${RUN}-6`);
    const then = await only(tested);
    assert.deepEqual([then.dead, then.rows, then.gone.discarded, then.agrees], [1, 7, 1, true]);
    assert.deepEqual(await checked(tested), { numbers: 9, ...CLEAN });
  });

  test("rows that are deleted behind its back are named, each of them", async (tested) => {
    await stored(tested, entries(1, 100));
    await tested.execute("delete from user_data where dsproxy_seq in (1, 7, 8, 9, 100)");
    assert.equal((await only(tested)).agrees, false);
    const { missing, doubled } = await checked(tested);
    assert.deepEqual(missing, {
      first: [{ first: 1, last: 1 }, { first: 7, last: 9 }, { first: 100, last: 100 }],
      numbers: 5,
    });
    assert.equal(doubled.numbers, 0);
  });

  test("rows that are there twice are named, also beside as many that are missing", async (tested) => {
    await stored(tested, entries(1, 100));
    const copy = (seq: number) =>
      tested.execute(`insert into user_data select * from user_data where dsproxy_seq = ${seq}`);
    await copy(11);
    await copy(40);
    await copy(40);
    await tested.execute("delete from user_data where dsproxy_seq in (2, 50, 98)");
    assert.equal((await only(tested)).agrees, false);
    const { missing, doubled } = await checked(tested);
    assert.equal(missing.numbers, 3);
    assert.deepEqual(doubled, {
      first: [{ seq: 11, times: 2 }, { seq: 40, times: 4 }],
      numbers: 2,
    });
  });

  test("a dead letter that is deleted behind its back is missing", async (tested) => {
    await tested.store.open(RUN); // It makes the tables.
    await tested.refuse("the value bad");
    await stored(tested, [...entries(1, 4), { ...entries(5, 5)[0]!, value: "bad" }]);
    await tested.execute("delete from dsproxy_dead_letters");
    assert.deepEqual((await checked(tested)).missing, {
      first: [{ first: 5, last: 5 }],
      numbers: 1,
    });
  });

  test("a mark that was moved on calls for numbers, and one moved back leaves strays", async (tested) => {
    await stored(tested, entries(1, 10));
    await tested.execute("update dsproxy_marks set seq = 12");
    assert.deepEqual((await checked(tested)).missing.first, [{ first: 11, last: 12 }]);
    await tested.execute("update dsproxy_marks set seq = 7");
    const { agrees, strays } = await only(tested);
    assert.deepEqual([agrees, strays], [true, 3]);
    assert.deepEqual(await tested.audit.strays(RUN, 100), [8, 9, 10]);
    assert.deepEqual(await tested.audit.strays(RUN, 2), [8, 9]);
  });

  test("rows of a source that no mark knows are strays, rows of other programs are not", async (tested) => {
    await stored(tested, entries(1, 3));
    await tested.insert([{ user_id: "theirs", value: "x", ts: 5 }]);
    assert.equal((await only(tested)).strays, 0);
    await tested.execute("delete from dsproxy_marks");
    const { source, strays, mark } = await only(tested);
    assert.deepEqual([source, strays, mark], [RUN, 3, 0]);
  });

  test("a gap that a person accepts is none any more, and others stay", async (tested) => {
    await stored(tested, entries(1, 20));
    await tested.execute("delete from user_data where dsproxy_seq in (4, 5, 9)");
    const { audit } = tested;
    assert.equal(await audit.accept(RUN, { first: 1, last: 3 }, "nothing there"), 0);
    assert.equal(await audit.accept(RUN, { first: 4, last: 6 }, "deleted by hand"), 2);
    assert.deepEqual((await checked(tested)).missing.first, [{ first: 9, last: 9 }]);
    assert.equal(await audit.accept(RUN, { first: 9, last: 9 }, "it's known"), 1);
    const { agrees, gone } = await only(tested);
    assert.deepEqual([agrees, gone.accepted], [true, 3]);
    assert.deepEqual(await checked(tested), { numbers: 20, ...CLEAN });
  });

  test("of very many findings the first are named, and all counted", async (tested) => {
    await stored(tested, entries(1, 5_000));
    await tested.execute("delete from user_data where dsproxy_seq % 2 = 0");
    const { missing } = await checked(tested);
    assert.equal(missing.numbers, 2_500);
    assert.equal(missing.first.length, 1_000);
    assert.deepEqual(missing.first.at(-1), { first: 2_000, last: 2_000 });
    assert.equal(await tested.audit.accept(RUN, { first: 1, last: 5_000 }, "odd ones"), 2_500);
    assert.equal((await only(tested)).agrees, true);
  });
}
