/** What every DeadLetters keeps to, by the words of src/ports/dead_letters.ts. */
import assert from "node:assert/strict";
import { writeId } from "../../src/domain.ts";
import { RejectedRowError } from "../../src/errors.ts";
import type { DeadLetterSweeps } from "../../src/ports/dead_letter_sweeps.ts";
import type { DeadLetters, LetterFilter } from "../../src/ports/dead_letters.ts";
import { entry } from "../support/fakes.ts";
import { assertClosed, SOURCE, type StoreUnderTest } from "./store_under_test.ts";

/**
 * Puts five writes of two users, of whom each may have one row: 2, 3 and 5 are dead letters.
 * @returns with which code
 */
async function twoOfAAndOneOfB(tested: Tested): Promise<string> {
  tested.allow = await tested.refuse("a second row of a user");
  const users = ["a", "a", "a", "b", "b"];
  const batch = users.map((userId, i) => entry(i + 1, { userId }));
  const { dead } = await tested.store.put(SOURCE, batch, 0);
  return dead[0]!.code;
}

interface Tested extends StoreUnderTest {
  /** Makes the table take what it refused. */
  allow: () => Promise<void>;
}

export function deadLettersContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  const test = (behaviour: string, work: (tested: Tested) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await makeStore();
      await work({ ...tested, allow: () => Promise.resolve() });
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

  test("they are counted and listed by user, code and the time of their refusal", async (tested) => {
    const { store, deadLetters, refuse } = tested;
    await store.open(SOURCE);
    const reason = await twoOfAAndOneOfB(tested);
    const count = async (filter: LetterFilter) => {
      const { count, reasons } = await deadLetters.survey(filter, 9);
      const listed = await deadLetters.list(9, undefined, filter);
      assert.deepEqual(reasons.map(({ count }) => count), count === 0 ? [] : [count]);
      assert.equal(listed.length, count, JSON.stringify(filter));
      return listed.map(({ seq }) => seq);
    };
    const { code, failedAtMs } = (await deadLetters.list(1))[0]!;
    assert.equal(code, reason);
    assert.deepEqual(await count({}), [2, 3, 5]);
    assert.deepEqual(await count({ userId: "a" }), [2, 3]);
    assert.deepEqual(await count({ userId: "a", code }), [2, 3]);
    assert.deepEqual(await count({ userId: "A" }), []);
    assert.deepEqual(await count({ userId: "a' or true --" }), []);
    assert.deepEqual(await count({ code: "other" }), []);
    assert.deepEqual(await count({ fromMs: failedAtMs - 1 }), [2, 3, 5]);
    assert.deepEqual(await count({ untilMs: failedAtMs - 1 }), []);
    assert.deepEqual(await count({ fromMs: failedAtMs + 3_600_000 }), []);
    const { untilMs } = await deadLetters.survey({}, 0);
    assert.deepEqual(await count({ untilMs }), [2, 3, 5], "all that were counted are before it");
    assert.deepEqual((await deadLetters.survey({}, 0)).reasons, []);
    const page = await deadLetters.list(1, { source: SOURCE, seq: 2 }, { userId: "a" });
    assert.deepEqual(page.map(({ seq }) => seq), [3]);
    await refuse("the value bad");
    await store.put(SOURCE, [entry(6, { value: "bad" })], 5);
    const { reasons } = await deadLetters.survey({}, 1);
    assert.equal(reasons.length, 1, "no more than were asked for");
    assert.equal(reasons[0]!.code, code, "the most frequent one comes first");
  });

  test("a sweep replays those of its filter in parts, and tells which are refused", async (tested) => {
    const { store, deadLetters, sweeps, rows } = tested;
    await store.open(SOURCE);
    await twoOfAAndOneOfB(tested);
    const some = await sweeps.replaySome({}, 2);
    assert.deepEqual([some.done, some.refused, some.next?.seq], [[], 2, 3]);
    assert.deepEqual((await deadLetters.list(9)).map(({ attempts }) => attempts), [2, 2, 1]);
    await tested.allow();
    const again = await sweeps.replaySome({ userId: "a" }, 1);
    const { value: _, ...second } = entry(2, { userId: "a" });
    assert.deepEqual(again, { done: [second], refused: 0, next: { source: SOURCE, seq: 2 } });
    const rest = await sweeps.replaySome({ userId: "a" }, 9, again.next);
    assert.deepEqual([rest.done.map(({ seq }) => seq), rest.refused, rest.next], [
      [3],
      0,
      undefined,
    ]);
    assert.deepEqual(await sweeps.replaySome({ userId: "a" }, 9), { done: [], refused: 0 });
    assert.deepEqual(await store.latest("a"), entry(3, { userId: "a" }));
    assert.equal((await rows()).length, 4);
    assert.deepEqual((await deadLetters.list(9)).map(({ userId }) => userId), ["b"]);
  });

  test("a sweep discards those of its filter alone", async (tested) => {
    const { store, deadLetters, sweeps, rows } = tested;
    await store.open(SOURCE);
    await twoOfAAndOneOfB(tested);
    const { untilMs } = await deadLetters.survey({}, 0);
    const some = await sweeps.discardSome({ untilMs }, 1);
    assert.deepEqual([some.done.map(({ seq }) => seq), some.next?.seq], [[2], 2]);
    const rest = await sweeps.discardSome({ userId: "b", untilMs }, 9, some.next);
    assert.deepEqual([rest.done.map(({ seq }) => seq), rest.next], [[5], undefined]);
    assert.deepEqual((await deadLetters.list(9)).map(({ seq }) => seq), [3]);
    assert.equal((await rows()).length, 2, "no row is touched");
  });

  test("after the store is closed every call is refused", async (tested) => {
    const { store, deadLetters, sweeps } = tested;
    await store.open(SOURCE);
    await store.close();
    await assertClosed<keyof DeadLetters | keyof DeadLetterSweeps>({
      count: () => deadLetters.count(),
      reasons: () => deadLetters.reasons(),
      list: () => deadLetters.list(1),
      find: () => deadLetters.find("a-1"),
      replay: () => deadLetters.replay("a-1"),
      discard: () => deadLetters.discard("a-1"),
      survey: () => deadLetters.survey({}, 1),
      replaySome: () => sweeps.replaySome({}, 1),
      discardSome: () => sweeps.discardSome({}, 1),
    });
  });
}
