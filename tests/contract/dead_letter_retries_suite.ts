/** What every DeadLetterRetries keeps to, by the words of src/ports/dead_letter_retries.ts. */
import assert from "node:assert/strict";
import { type Entry, writeId } from "../../src/domain.ts";
import { RejectedRowError } from "../../src/errors.ts";
import type { DeadLetterRetries, DueLetter } from "../../src/ports/dead_letter_retries.ts";
import { entry } from "../support/fakes.ts";
import { assertClosed, SOURCE, type StoreUnderTest } from "./store_under_test.ts";

const HOUR_MS = 3_600_000;

export function deadLetterRetriesContract(
  name: string,
  makeStore: () => Promise<StoreUnderTest>,
): void {
  const test = (behaviour: string, work: (tested: StoreUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await makeStore();
      await work(tested);
    });

  test("a dead letter is due at each age, once", async (tested) => {
    const { store, terms, retries, refuse } = tested;
    await store.open(SOURCE);
    await refuse("the value bad");
    const refused = entry(1, { value: "bad" });
    await store.put(SOURCE, [refused, entry(2)], 0);
    const term = await terms?.begin("leader");
    assert.deepEqual(await retries!.due([HOUR_MS], 10), { letters: [] });
    const due = [dueOf(refused, 3)];
    assert.deepEqual(await retries!.due([0, 0, 0, HOUR_MS], 10), { letters: due });
    await assert.rejects(retries!.retry(term, due[0]!), RejectedRowError);
    assert.deepEqual(await retries!.due([0, 0, 0, HOUR_MS], 10), { letters: [] });
    assert.equal((await tested.deadLetters.find(writeId(refused)))?.attempts, 4);
  });

  test("a dead letter that goes in when it is tried again is a row, once", async (tested) => {
    const { store, terms, retries, refuse, deadLetters, rows } = tested;
    await store.open(SOURCE);
    const allow = await refuse("the value bad");
    const refused = entry(1, { value: "bad" });
    await store.put(SOURCE, [refused, entry(2)], 0);
    await allow();
    const term = await terms?.begin("leader");
    const letter = dueOf(refused, 1);
    assert.deepEqual(await retries!.retry(term, letter), refused);
    assert.equal(await retries!.retry(term, letter), undefined);
    assert.deepEqual(await store.latest(refused.userId), refused);
    assert.equal((await rows()).length, 2);
    assert.equal(await deadLetters.count(), 0);
  });

  test("a row that a trigger lets vanish stays a dead letter", async (tested) => {
    const { store, terms, retries, refuse, deadLetters } = tested;
    await store.open(SOURCE);
    await refuse("the value bad, without a word");
    const refused = entry(1, { value: "bad" });
    await store.put(SOURCE, [refused, entry(2)], 0);
    const id = writeId(refused);
    const term = await terms?.begin("leader");
    await assert.rejects(retries!.retry(term, dueOf(refused, 1)), RejectedRowError);
    await assert.rejects(deadLetters.replay(id), RejectedRowError);
    assert.equal((await deadLetters.find(id))?.attempts, 3);
  });

  test("dead letters that are due are found a few at a time", async (tested) => {
    const { store, retries, refuse } = tested;
    await store.open(SOURCE);
    await refuse("the value bad");
    const bad = Array.from({ length: 5 }, (_, i) => entry(i + 1, { value: "bad" }));
    await store.put(SOURCE, [...bad, entry(6)], 0);
    const found: string[][] = [];
    let from: { source: string; seq: number } | undefined;
    do {
      const { letters, next } = await retries!.due([0], 2, from);
      found.push(letters.map(writeId));
      from = next;
    } while (from !== undefined);
    const ids = bad.map(writeId);
    assert.deepEqual(found, [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
  });

  test("after the store is closed no dead letter is tried again", async ({ store, retries }) => {
    await store.open(SOURCE);
    await store.close();
    const term = { number: 1, leader: "leader" };
    await assertClosed<keyof DeadLetterRetries>({
      due: () => retries!.due([0], 1),
      retry: () => retries!.retry(term, dueOf(entry(1), 1)),
    });
  });
}

function dueOf({ value: _, ...letter }: Entry, passedAges: number): DueLetter {
  return { ...letter, passedAges };
}
