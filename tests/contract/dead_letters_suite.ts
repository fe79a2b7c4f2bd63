/** What every DeadLetters keeps to, by the words of src/ports/dead_letters.ts. */
import assert from "node:assert/strict";
import { writeId } from "../../src/domain.ts";
import { RejectedRowError } from "../../src/errors.ts";
import type { DeadLetters } from "../../src/ports/dead_letters.ts";
import { entry } from "../support/fakes.ts";
import { assertClosed, SOURCE, type StoreUnderTest } from "./store_under_test.ts";

export function deadLettersContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  const test = (behaviour: string, work: (tested: StoreUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await makeStore();
      await work(tested);
    });

  test("they are listed in pages, found, and discarded", async (tested) => {
    const { store, deadLetters, nowMs, insert, refuse } = tested;
    await store.open(SOURCE);
    assert.equal(await deadLetters.count(), 0);
    assert.deepEqual(await deadLetters.reasons(), []);
    await refuse("a second row of a user");
    const batch = Array.from({ length: 5 }, (_, i) => entry(i + 1, { userId: "u", value: "é'\n" }));
    await insert([{ user_id: "u", value: "theirs", ts: 1 }]);
    const [reason] = (await store.put(SOURCE, batch, 0)).dead;
    assert.equal(await deadLetters.count(), 5);
    const first = await deadLetters.list(2);
    const second = await deadLetters.list(2, first.at(-1));
    const third = await deadLetters.list(2, second.at(-1));
    assert.deepEqual([first, second, third].map((page) => page.map(({ seq }) => seq)), [[1, 2], [
      3,
      4,
    ], [5]]);
    const found = await deadLetters.find(writeId(entry(3)));
    assert.ok(found !== undefined && Math.abs(found.failedAtMs - nowMs()) < 3_600_000);
    assert.deepEqual({ ...found, failedAtMs: 0 }, {
      ...batch[2],
      ...reason,
      seq: 3,
      source: SOURCE,
      attempts: 1,
      failedAtMs: 0,
    });
    assert.deepEqual(await deadLetters.reasons(), [{ code: reason!.code, count: 5 }]);
    assert.equal(await deadLetters.discard(writeId(entry(3))), true);
    assert.equal(await deadLetters.discard(writeId(entry(3))), false);
    assert.equal(await deadLetters.find(writeId(entry(3))), undefined);
    assert.equal(await deadLetters.count(), 4);
  });

  test("they are counted by reason, the most frequent one first", async (tested) => {
    const { store, deadLetters, refuse } = tested;
    await store.open(SOURCE);
    await refuse("the value bad");
    const good = entry(1, { userId: "u" });
    const bad = entry(2, { userId: "v", value: "bad" });
    const [first] = (await store.put(SOURCE, [good, bad], 0)).dead;
    await refuse("a second row of a user");
    const again = [3, 4].map((seq) => entry(seq, { userId: "u" }));
    const [second] = (await store.put(SOURCE, [...again, entry(5, { userId: "w" })], 2)).dead;
    // A store may have one code for both.
    const expected = first!.code === second!.code ? [{ code: first!.code, count: 3 }] : [
      { code: second!.code, count: 2 },
      { code: first!.code, count: 1 },
    ];
    assert.deepEqual(await deadLetters.reasons(), expected);
  });

  test("a replay stores it as accepted, once", async ({ store, deadLetters, rows, refuse }) => {
    await store.open(SOURCE);
    const allow = await refuse("a second row of a user");
    const refused = entry(2, { userId: "u", ts: 2_000, value: "newer" });
    await store.put(SOURCE, [entry(1, { userId: "u" }), refused], 0);
    await assert.rejects(deadLetters.replay(writeId(refused)), RejectedRowError);
    assert.equal((await deadLetters.find(writeId(refused)))?.attempts, 2);
    await allow();
    const replays = await Promise.all(
      Array.from({ length: 4 }, () => deadLetters.replay(writeId(refused))),
    );
    assert.deepEqual(replays.filter((replayed) => replayed !== undefined), [refused]);
    assert.equal((await rows()).length, 2);
    assert.deepEqual(await store.latest("u"), refused);
    assert.equal(await deadLetters.count(), 0);
  });

  test("after the store is closed every call is refused", async ({ store, deadLetters }) => {
    await store.open(SOURCE);
    await store.close();
    await assertClosed<keyof DeadLetters>({
      count: () => deadLetters.count(),
      reasons: () => deadLetters.reasons(),
      list: () => deadLetters.list(1),
      find: () => deadLetters.find("a-1"),
      replay: () => deadLetters.replay("a-1"),
      discard: () => deadLetters.discard("a-1"),
    });
  });
}
