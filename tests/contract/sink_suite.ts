/** What every Sink keeps to, by the words of src/ports/sink.ts. */
import assert from "node:assert/strict";
import type { Sink } from "../../src/ports/sink.ts";
import type { Batch } from "../../src/ports/source.ts";
import { upTo } from "../support/delivery.ts";
import { entry } from "../support/fakes.ts";

export interface SinkUnderTest extends AsyncDisposable {
  /** Another one each time, of a program that was just started; the other side is the same. */
  start(): Sink;
  /** Values that the other side has, of those that were not refused. */
  values(): Promise<readonly string[]>;
  /** From now on the other side refuses entries whose value is `bad`. */
  refuseBad(): Promise<void>;
  /** From now on it refuses whatever comes, until the function that it returns was called. */
  refuseAll(): Promise<() => Promise<void>>;
  /** The other side has every source through `seq` only. */
  goBack(seq: number): Promise<void>;
}

const SOURCE = "run000000001";

function batch(first: number, last: number, isBad: (seq: number) => boolean = () => false): Batch {
  const entries = upTo(last, first).map((seq) =>
    entry(seq, { run: SOURCE, value: isBad(seq) ? "bad" : `v${seq}` })
  );
  return { source: SOURCE, entries, lastSeq: last };
}

const valuesOf = (seqs: readonly number[]) => seqs.map((seq) => `v${seq}`).sort();

export function sinkContract(name: string, make: () => Promise<SinkUnderTest>): void {
  const test = (behaviour: string, work: (tested: SinkUnderTest) => Promise<void>) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      await using tested = await make();
      await work(tested);
    });
  const seqsOf = (entries: readonly { seq: number }[]) => entries.map(({ seq }) => seq);

  test(
    "what was delivered is there, and the mark says so; a source nobody knows " +
      "has none",
    async ({ start, values }) => {
      const sink = start();
      assert.deepEqual(await sink.marks([SOURCE]), new Map());
      const { stored, dead } = await sink.deliver(batch(1, 10));
      assert.deepEqual([seqsOf(stored), dead], [upTo(10), []]);
      assert.deepEqual(await sink.marks([SOURCE, "run000000009"]), new Map([[SOURCE, 10]]));
      assert.deepEqual([...await values()].sort(), valuesOf(upTo(10)));
      assert.equal(sink.refusal, undefined);
    },
  );

  test(
    "the same batch again, or one that was grown at its end, brings nothing " +
      "twice and tells all of it",
    async ({ start, values }) => {
      const sink = start();
      await sink.marks([SOURCE]);
      await sink.deliver(batch(1, 10));
      assert.deepEqual(seqsOf((await sink.deliver(batch(1, 10))).stored), upTo(10));
      assert.deepEqual(seqsOf((await sink.deliver(batch(1, 15))).stored), upTo(15));
      await sink.deliver(batch(16, 20));
      assert.deepEqual([...await values()].sort(), valuesOf(upTo(20)));
    },
  );

  test(
    "a program that was started anew brings nothing twice, whatever the last one " +
      "had brought",
    async ({ start, values }) => {
      const first = start();
      await first.marks([SOURCE]);
      await first.deliver(batch(1, 10));
      const second = start();
      assert.deepEqual(await second.marks([SOURCE]), new Map([[SOURCE, 10]]));
      const { stored } = await second.deliver(batch(5, 20));
      assert.deepEqual([...await values()].sort(), valuesOf(upTo(20)));
      const fresh = seqsOf(stored).filter((seq) => seq > 10);
      assert.deepEqual(fresh, upTo(20, 11), "what it brought itself it knows to be there");
    },
  );

  test(
    "what is refused for itself is dead, its neighbours are there; a repeat says " +
      "the same",
    async ({ start, values, refuseBad }) => {
      const sink = start();
      await sink.marks([SOURCE]);
      // A table has to be there before anybody can have something against its rows.
      await sink.deliver(batch(1, 1));
      await refuseBad();
      const isBad = (seq: number) => seq === 3 || seq === 7;
      for (let i = 0; i < 2; i++) {
        const { stored, dead } = await sink.deliver(batch(2, 10, isBad));
        assert.deepEqual(seqsOf(dead), [3, 7]);
        assert.deepEqual(seqsOf(stored), upTo(10, 2).filter((seq) => !isBad(seq)));
        assert.ok(dead.every(({ code, message }) => code !== "" && message !== ""));
      }
      assert.deepEqual([...await values()].sort(), valuesOf(upTo(10).filter((seq) => !isBad(seq))));
    },
  );

  test(
    "while all is refused nothing is there, it says why, and it is there once " +
      "that is mended",
    async ({ start, values, refuseAll }) => {
      const sink = start();
      await sink.marks([SOURCE]);
      await sink.deliver(batch(1, 1));
      const mend = await refuseAll();
      await assert.rejects(sink.deliver(batch(2, 10)));
      assert.match(sink.refusal!, /./);
      assert.deepEqual(await sink.marks([SOURCE]), new Map([[SOURCE, 1]]));
      await mend();
      await sink.deliver(batch(2, 10));
      assert.equal(sink.refusal, undefined);
      assert.deepEqual([...await values()].sort(), valuesOf(upTo(10)));
    },
  );

  test(
    "another side that went back takes nothing behind the gap, and all of it " +
      "after its marks were asked for",
    async ({ start, goBack }) => {
      const sink = start();
      await sink.marks([SOURCE]);
      await sink.deliver(batch(1, 10));
      await goBack(4);
      await assert.rejects(sink.deliver(batch(11, 20)));
      assert.deepEqual(await sink.marks([SOURCE]), new Map([[SOURCE, 4]]));
      assert.deepEqual(seqsOf((await sink.deliver(batch(5, 10))).stored), upTo(10, 5));
      assert.deepEqual(seqsOf((await sink.deliver(batch(11, 20))).stored), upTo(20, 11));
      assert.deepEqual(await sink.marks([SOURCE]), new Map([[SOURCE, 20]]));
    },
  );
}
