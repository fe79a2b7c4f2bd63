import assert from "node:assert/strict";
import fc from "fast-check";
import { AppError } from "../../src/errors.ts";
import { Withdrawn } from "../../src/journal/withdrawn.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { open, pushAll, settleAll, valuesOf } from "../support/journals.ts";

Deno.test("intervals that touch are one, of one run", () => {
  const withdrawn = new Withdrawn();
  withdrawn.add("a", 5, 6);
  withdrawn.add("a", 7, 9);
  withdrawn.add("b", 10, 12);
  assert.deepEqual(withdrawn.intervals, [
    { run: "a", firstSeq: 5, lastSeq: 9, certain: true },
    { run: "b", firstSeq: 10, lastSeq: 12, certain: true },
  ]);
  assert.deepEqual([4, 5, 9, 10].map((seq) => withdrawn.has("a", seq)), [false, true, true, false]);
});

Deno.test("however many there are, none is ever denied, and memory is bounded", () => {
  const step = fc.record({
    run: fc.constantFrom(...Array.from({ length: 40 }, (_, i) => `run${i}`)),
    gap: fc.integer({ min: 1, max: 3 }),
    length: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 150, maxLength: 600 }), (steps) => {
      const withdrawn = new Withdrawn();
      const lastOf = new Map<string, number>();
      const added = new Map<string, number[]>();
      for (const { run, gap, length } of steps) {
        const first = (lastOf.get(run) ?? 0) + gap;
        lastOf.set(run, first + length - 1);
        withdrawn.add(run, first, first + length - 1);
        const numbers = Array.from({ length }, (_, i) => first + i);
        added.set(run, [...added.get(run) ?? [], ...numbers]);
      }
      assert.ok(withdrawn.intervals.length <= 200);
      const known = new Set(withdrawn.intervals.map(({ run }) => run));
      for (const run of known) {
        for (const seq of added.get(run)!) {
          assert.notEqual(withdrawn.has(run, seq), false, `${run}-${seq}`);
        }
      }
    }),
    { numRuns: 30 },
  );
});

Deno.test("a full disk's numbers are withdrawn, over restarts, but no neighbours", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 0;
  const first = await open(fs, { monotonicMs: () => nowMs += 1_000 });
  await pushAll(first.journal, ["a"]);
  fs.freeBytes = 10;
  await assert.rejects(
    pushAll(first.journal, ["b", "c"]),
    (error) => error instanceof AppError && error.code === "queue-full",
  );
  fs.freeBytes = Infinity;
  await pushAll(first.journal, ["d"]);
  assert.deepEqual(valuesOf(first.withdrawn), ["b", "c"]);
  const { run } = first.journal;
  const stages = (journal: { stageOf(run: string, seq: number): string }) =>
    [1, 2, 3, 4, 5].map((seq) => journal.stageOf(run, seq));
  assert.deepEqual(stages(first.journal), [
    "durable",
    "withdrawn",
    "withdrawn",
    "durable",
    "unknown",
  ]);

  // After a crash: by the headers of the segments alone.
  const crashed = await open(fs.afterPowerLoss(), { monotonicMs: () => nowMs });
  const known = ["durable", "withdrawn", "withdrawn", "durable", "withdrawn"];
  assert.deepEqual(stages(crashed.journal), known);
  assert.deepEqual(crashed.damage, []);
  await settleAll(crashed.journal);
  await crashed.journal.close();

  // When all is settled and gone: by the checkpoint.
  await settleAll(first.journal);
  await first.journal.close();
  const after = await open(fs);
  const settled = ["settled", "withdrawn", "withdrawn", "settled", "withdrawn"];
  assert.deepEqual(stages(after.journal), settled);
  await after.journal.close();
});

Deno.test("what a crash took is withdrawn, also of a run that has nothing durable", async () => {
  const fs = new FakeFileSystem();
  const first = await open(fs);
  first.journal.push({ userId: "u", value: "in memory only", ts: 1 });
  const disk = fs.afterPowerLoss();
  const second = await open(disk);
  assert.deepEqual(second.recovered, []);
  assert.equal(second.journal.stageOf(first.journal.run, 1), "withdrawn");
  assert.equal(second.journal.stageOf("anotherrun00", 1), "unknown");
  await second.journal.close();
});

Deno.test("what failed last is withdrawn until a start finds it on disk after all", async () => {
  const fs = new FakeFileSystem();
  const { journal, withdrawn } = await open(fs);
  await pushAll(journal, ["a"]);
  fs.beforeSync = (name) => {
    if (name.endsWith(".seg")) throw new Error("I/O error");
  };
  await assert.rejects(pushAll(journal, ["b"]));
  assert.deepEqual(valuesOf(withdrawn), ["b"]);
  assert.equal(journal.stageOf(journal.run, 2), "withdrawn");
  await journal.close();

  // The process ended, the power did not: what it had written is there.
  fs.beforeSync = () => {};
  const next = await open(fs);
  assert.deepEqual(valuesOf(next.recovered), ["a", "b"]);
  assert.equal(next.journal.stageOf(journal.run, 2), "durable");
  await next.journal.close();
});
