/** What every Retention keeps to, by the words of src/ports/retention.ts. */
import assert from "node:assert/strict";
import { compareVersions, type Entry } from "../../src/domain.ts";
import type { Retention } from "../../src/ports/retention.ts";
import type { Term } from "../../src/ports/terms.ts";
import { entry } from "../support/fakes.ts";
import { Random } from "../support/random.ts";
import {
  type OneStoreUnderTest,
  type Row,
  SOURCE,
  type StoreUnderTest,
} from "./store_under_test.ts";

export type RetentionUnderTest =
  & OneStoreUnderTest
  & Pick<StoreUnderTest, "terms">
  & { readonly retention?: Retention };

export const OLDER_THAN = 1_000;
const SEEDS = [1, 2, 3, 4, 5, 6];

export function retentionContract(
  name: string,
  makeStore: () => Promise<RetentionUnderTest>,
): void {
  const test = (behaviour: string, work: (tested: RetentionUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await makeStore();
      await work(tested);
    });

  test("retention deletes what is old and hidden, and nothing else", async (tested) => {
    const { store, insert } = tested;
    await store.open(SOURCE);
    await store.put(SOURCE, [
      entry(1, { userId: "a", ts: 10 }),
      entry(2, { userId: "a", ts: OLDER_THAN - 1 }),
      entry(3, { userId: "a", ts: OLDER_THAN }),
      entry(4, { userId: "a", ts: OLDER_THAN + 1 }),
      entry(5, { userId: "only", ts: 1 }),
      entry(6, { userId: "z", ts: 5 }),
      entry(7, { userId: "z", ts: 5 }),
    ], 0);
    await insert([{ user_id: "z", value: "theirs", ts: 4 }]);
    assert.deepEqual(await wholePass(tested, 100), { rows: 4, refused: 0 });
    assert.deepEqual((await tested.rows()).map(({ user_id, ts }) => `${user_id} ${ts}`).sort(), [
      "a 1000",
      "a 1001",
      "only 1",
      "z 5",
    ]);
    assert.deepEqual(await wholePass(tested, 100), { rows: 0, refused: 0 }, "nothing is left");
  });

  test("retention deletes no more at once than it may, and goes on from there", async (tested) => {
    await tested.store.open(SOURCE);
    const batch = Array.from({ length: 25 }, (_, i) => entry(i + 1, { userId: "u", ts: i }));
    await tested.store.put(SOURCE, batch, 0);
    const term = await tested.terms?.begin("leader");
    const sizes: number[] = [];
    for (let from: string | undefined, isFirst = true; isFirst || from !== undefined;) {
      const retired = await tested.retention!.retire(term, OLDER_THAN, 10, from);
      sizes.push(retired.rows);
      from = retired.next;
      isFirst = false;
    }
    assert.deepEqual(sizes, [10, 10, 4]);
    assert.deepEqual(await tested.store.latest("u"), batch.at(-1));
  });

  for (const seed of SEEDS) {
    test(`retention leaves every read as it was (seed ${seed})`, async (tested) => {
      await checkRetention(tested, seed);
    });
  }
}

/** @throws AssertionError where a pass over random rows takes too much or too little */
export async function checkRetention(tested: RetentionUnderTest, seed: number): Promise<void> {
  const random = new Random(seed);
  const users = Array.from({ length: 12 }, (_, i) => `user ${i % 3 === 0 ? "é" : ""}${i}`);
  const old = [0, 1, 500, OLDER_THAN - 1];
  const place = () => {
    const userId = random.pick(users);
    // Of every other user all rows are old.
    const among = users.indexOf(userId) % 2 === 0 ? old : [...old, OLDER_THAN, 5_000];
    return { userId, ts: random.pick(among) };
  };
  const own = Array.from(
    { length: 150 },
    (_, i) => entry(i + 1, { ...place(), acceptedMs: random.below(3), value: `own ${i}` }),
  );
  const theirs = Array.from({ length: 60 }, (_, i): Row => {
    const { userId, ts } = place();
    return { user_id: userId, value: `theirs ${i}`, ts };
  });
  await tested.store.open(SOURCE);
  await tested.store.put(SOURCE, own, 0);
  await tested.insert(theirs);
  const before = await Promise.all(users.map((user) => tested.store.latest(user)));
  const all = [...own, ...theirs.map(entryOf)];
  await wholePass(tested, random.pick([1, 2, 7, 1_000]));
  const expected = all.filter((row) =>
    row.ts >= OLDER_THAN ||
    !all.some((other) => other.userId === row.userId && compareVersions(other, row) > 0)
  );
  const left = await tested.rows();
  assert.deepEqual(left.map(({ value }) => value).sort(), expected.map((e) => e.value).sort());
  const after = await Promise.all(users.map((user) => tested.store.latest(user)));
  assert.deepEqual(after.map(versionOf), before.map(versionOf));
}

/** Of rows of others that have all columns alike any is the latest. */
function versionOf(found: Entry | undefined): Partial<Entry> | undefined {
  if (found === undefined || found.run !== "") return found;
  const { value: _, ...version } = found;
  return version;
}

function entryOf({ user_id, value, ts }: Row): Entry {
  return { userId: user_id!, value: value!, ts: ts!, acceptedMs: 0, run: "", seq: 0 };
}

/** Walks until there is no more; returns what was done all together. */
export async function wholePass(
  { retention, terms }: Pick<RetentionUnderTest, "retention" | "terms">,
  limit: number,
  term?: Term,
): Promise<{ rows: number; refused: number }> {
  const within = term ?? await terms?.begin("leader");
  const done = { rows: 0, refused: 0 };
  let from: string | undefined;
  for (let steps = 0; steps < 2_000; steps++) {
    const { rows, refused, next } = await retention!.retire(within, OLDER_THAN, limit, from);
    assert.ok(rows <= limit, `${rows} rows at once`);
    done.rows += rows;
    done.refused += refused;
    if (next === undefined) return done;
    from = next;
  }
  throw new assert.AssertionError({ message: "The pass has no end" });
}
