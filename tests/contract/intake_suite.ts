/**
 * What every intake owes its callers, as the words of the port `Intake` say. Run by intake_test.ts
 * over all of them.
 */
import assert from "node:assert/strict";
import type { Entry, Write } from "../../src/domain.ts";
import { AppError } from "../../src/errors.ts";
import type { Intake, IntakeListener, Receipt } from "../../src/ports/intake.ts";
import type { Source } from "../../src/ports/source.ts";

interface IntakeUnderTest {
  readonly intake: Intake;
  /** Its other side, to settle entries. */
  readonly source: Source;
  dispose(): Promise<void>;
}

interface Told {
  readonly durable: Entry[];
  readonly withdrawn: Entry[];
  readonly unsettled: Entry[];
}

const AWKWARD_TEXTS = ["", "ä€😀", "\u0001\n\u007f", "\ufeffbom", "x".repeat(256 * 1024)];

function writeOf(value: string, userId = "user"): Write {
  return { userId, value, ts: 1_700_000_000 };
}

async function pushAll(intake: Intake, values: readonly string[]): Promise<Entry[]> {
  const receipts = values.map((value) => intake.push(writeOf(value)));
  await Promise.all(receipts.map(({ durable }) => durable));
  return receipts.map(({ entry }) => entry);
}

/** @param make gives an empty intake that tells this listener; the suite disposes of it */
export function intakeContract(
  name: string,
  make: (listener: IntakeListener) => Promise<IntakeUnderTest>,
): void {
  const test = (
    behaviour: string,
    run: (intake: Intake, told: Told, source: Source) => Promise<void>,
  ) =>
    Deno.test(`${name}: ${behaviour}`, async () => {
      const told: Told = { durable: [], withdrawn: [], unsettled: [] };
      const { intake, source, dispose } = await make({
        durable: (entries) => told.durable.push(...entries),
        withdrawn: (entries) => told.withdrawn.push(...entries),
        unsettled: (entry) => told.unsettled.push(entry),
      });
      try {
        await run(intake, told, source);
      } finally {
        await intake.close();
        await dispose();
      }
    });

  test("numbers of a run are 1, 2, 3 …, and times never go back", async (intake) => {
    assert.match(intake.run, /^[0-9a-z]{12}$/);
    const entries = await pushAll(intake, ["a", "b", "c"]);
    assert.deepEqual(entries.map(({ run, seq }) => `${run}-${seq}`), [
      `${intake.run}-1`,
      `${intake.run}-2`,
      `${intake.run}-3`,
    ]);
    const times = entries.map(({ acceptedMs }) => acceptedMs);
    assert.ok(times.every(Number.isSafeInteger));
    assert.deepEqual(times, times.toSorted((a, b) => a - b));
  });

  test("the listener knows of durable entries, in order, before who waits for them", async (
    intake,
    told,
  ) => {
    const receipts: Receipt[] = Array.from({ length: 50 }, (_, i) => intake.push(writeOf(`${i}`)));
    await Promise.all(receipts.map(async ({ entry, durable }) => {
      await durable;
      assert.ok(told.durable.some(({ seq }) => seq === entry.seq), `${entry.seq} was told before`);
    }));
    assert.deepEqual(told.durable, receipts.map(({ entry }) => entry));
    assert.deepEqual([told.withdrawn, told.unsettled], [[], []]);
  });

  test("awkward texts come back as they were written", async (intake) => {
    const entries = await pushAll(intake, AWKWARD_TEXTS);
    assert.deepEqual(entries.map(({ value }) => value), AWKWARD_TEXTS);
    for (const entry of entries) assert.deepEqual(await intake.read(entry.run, entry.seq), entry);
  });

  test("only what is there can be read", async (intake) => {
    await pushAll(intake, ["a"]);
    assert.equal(await intake.read(intake.run, 2), undefined);
    assert.equal(await intake.read("anotherrun00", 1), undefined);
  });

  test("a number is accepted, durable, settled; no other is known", async (
    intake,
    told,
    source,
  ) => {
    const stages = () => [1, 2, 3].map((seq) => intake.stageOf(intake.run, seq));
    assert.deepEqual(stages(), ["unknown", "unknown", "unknown"]);
    const receipts = ["a", "b"].map((value) => intake.push(writeOf(value)));
    const early = receipts.map(({ entry }) =>
      told.durable.includes(entry) ? "durable" : "accepted"
    );
    assert.deepEqual(stages(), [...early, "unknown"]);
    await Promise.all(receipts.map(({ durable }) => durable));
    assert.deepEqual(stages(), ["durable", "durable", "unknown"]);
    await source.settle((await source.take(1))!);
    assert.deepEqual(stages(), ["settled", "durable", "unknown"]);
    assert.equal(intake.stageOf("anotherrun00", 1), "unknown");
  });

  test("the status counts what was accepted, what is durable, and what is settled", async (
    intake,
    _told,
    source,
  ) => {
    const numbers = () => {
      const { depth, accepted, durable, settled } = intake.status();
      return { depth, accepted, durable, settled };
    };
    assert.deepEqual(numbers(), { depth: 0, accepted: 0, durable: 0, settled: 0 });
    assert.equal(intake.status().oldestAcceptedMs, undefined);
    const [first] = await pushAll(intake, ["a", "b", "c"]);
    assert.deepEqual(numbers(), { depth: 3, accepted: 3, durable: 3, settled: 0 });
    assert.equal(intake.status().oldestAcceptedMs, first!.acceptedMs);
    await source.settle((await source.take(2))!);
    assert.deepEqual(numbers(), { depth: 1, accepted: 3, durable: 3, settled: 2 });
    await source.settle((await source.take(2))!);
    assert.deepEqual(numbers(), { depth: 0, accepted: 3, durable: 3, settled: 3 });
    const { oldestAcceptedMs, failure, lackOfRoom } = intake.status();
    assert.deepEqual([oldestAcceptedMs, failure, lackOfRoom], [undefined, undefined, undefined]);
  });

  test("closing makes durable what was pushed, then nothing is accepted", async (intake, told) => {
    const { entry, durable } = intake.push(writeOf("last"));
    const closed = intake.close();
    assert.throws(
      () => intake.push(writeOf("late")),
      (error) => error instanceof AppError && error.code === "shutting-down",
    );
    await durable;
    await closed;
    await intake.close();
    assert.deepEqual(told.durable, [entry]);
  });
}
