/**
 * What every source owes its callers, as the words of the port `Source` say. Run by source_test.ts
 * over all of them.
 */
import assert from "node:assert/strict";
import type { Entry } from "../../src/domain.ts";
import type { Batch, Source } from "../../src/ports/source.ts";

interface SourceUnderTest {
  readonly source: Source;
  /** Makes so many entries more, and resolves when they can be taken. */
  add(entries: number): Promise<void>;
  /** The entries that were told to be unsettled again. */
  readonly toldAgain: readonly Entry[];
  dispose(): Promise<void>;
}

async function takeAll(source: Source, maxRows = 1_000): Promise<Batch[]> {
  const batches: Batch[] = [];
  for (let batch = await source.take(maxRows); batch; batch = await source.take(maxRows)) {
    batches.push(batch);
  }
  return batches;
}

async function settleAll(source: Source): Promise<void> {
  for (const batch of await takeAll(source)) await source.settle(batch);
}

function seqsOf(batches: readonly (Batch | undefined)[]): number[] {
  return batches.flatMap((batch) => batch?.entries.map(({ seq }) => seq) ?? []);
}

function countTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** @param make gives an empty source that keeps what is settled; the suite disposes of it */
export function sourceContract(name: string, make: () => Promise<SourceUnderTest>): void {
  const test = (
    behaviour: string,
    run: (source: Source, under: SourceUnderTest) => Promise<void>,
  ) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      const under = await make();
      try {
        await run(under.source, under);
      } finally {
        await under.dispose();
      }
    });

  test("an empty one gives nothing", async (source) => {
    assert.deepEqual([...await source.open()], []);
    assert.equal(await source.take(10), undefined);
    assert.equal(source.unsettled, 0);
  });

  test("entries come once, in order, and no more than asked for", async (source, { add }) => {
    await add(25);
    assert.equal(source.unsettled, 25);
    const batches = await takeAll(source, 10);
    assert.deepEqual(batches.map(({ entries }) => entries.length), [10, 10, 5]);
    assert.deepEqual(seqsOf(batches), countTo(25));
    for (const { source: key, entries, lastSeq } of batches) {
      assert.equal(lastSeq, entries.at(-1)!.seq);
      assert.ok(entries.every(({ run }) => run === key));
    }
    await add(1);
    assert.deepEqual(seqsOf(await takeAll(source)), [26]);
    assert.equal(source.unsettled, 26);
  });

  test("opening begins anew with the first entry that is not settled", async (source, { add }) => {
    await add(10);
    const first = (await source.take(4))!;
    await source.settle(first);
    await source.take(3);
    assert.deepEqual([...await source.open()], [[first.source, 4]]);
    assert.equal(source.unsettled, 6);
    assert.deepEqual(seqsOf(await takeAll(source)), countTo(10, 5));
  });

  test(
    "a batch that was grown, or comes again, settles each entry once",
    async (source, { add }) => {
      await add(10);
      const [first, second] = [(await source.take(3))!, (await source.take(3))!];
      const grown: Batch = {
        source: first.source,
        entries: [...first.entries, ...second.entries],
        lastSeq: second.lastSeq,
      };
      await source.settle(first);
      assert.equal(source.unsettled, 7);
      await source.settle(grown);
      await source.settle(grown);
      await source.settle(first);
      assert.equal(source.unsettled, 4);
      assert.deepEqual([...await source.open()], [[first.source, 6]]);
    },
  );

  test("what was settled and is lost comes again, before all that comes after it", async (
    source,
    { add, toldAgain },
  ) => {
    await add(10);
    const batch = (await source.take(6))!;
    await source.settle(batch);
    await source.take(2);
    assert.deepEqual(await source.rewind(batch.source, 2), {
      entries: 4,
      missingThrough: undefined,
    });
    assert.deepEqual(toldAgain, batch.entries.slice(2));
    assert.equal(source.unsettled, 8);
    await add(1);
    const again = await takeAll(source);
    assert.deepEqual(seqsOf(again), countTo(11, 3));
    assert.deepEqual(again[0]!.entries.slice(0, 4), batch.entries.slice(2));
    assert.deepEqual([...await source.open()], [[batch.source, 2]]);
    await settleAll(source);
    assert.deepEqual([...await source.open()], [[batch.source, 11]]);
    assert.equal(source.unsettled, 0);
  });

  test(
    "it may be lost again and again, from the very first",
    async (source, { add, toldAgain }) => {
      await add(5);
      const { source: key } = (await source.take(1))!;
      for (let times = 1; times <= 3; times++) {
        await source.open();
        await settleAll(source);
        assert.deepEqual(await source.rewind(key, 0), { entries: 5, missingThrough: undefined });
        assert.equal(toldAgain.length, 5 * times);
        assert.deepEqual(seqsOf(await takeAll(source)), countTo(5));
      }
    },
  );

  test("a mark that did not go back changes nothing", async (source, { add, toldAgain }) => {
    await add(5);
    const batch = (await source.take(3))!;
    await source.settle(batch);
    for (const [key, seq] of [[batch.source, 3], [batch.source, 5], ["nobody", 0]] as const) {
      assert.deepEqual(await source.rewind(key, seq), { entries: 0, missingThrough: undefined });
    }
    assert.deepEqual(toldAgain, []);
    assert.equal(source.unsettled, 2);
    assert.deepEqual(seqsOf(await takeAll(source)), [4, 5]);
  });
}
