import assert from "node:assert/strict";
import { AppError } from "../../src/errors.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { open, pushAll, takeAll, valuesOf } from "../support/journals.ts";

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof AppError && error.code === code;
}

/** Holds back the fsyncs of segments until told. */
function gateOf(fs: FakeFileSystem): { open: () => void; reached: Promise<void> } {
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  fs.beforeSync = (name) => {
    if (!name.endsWith(".seg")) return;
    reached.resolve();
    return gate.promise;
  };
  return { open: gate.resolve, reached: reached.promise };
}

Deno.test("what waits for one fsync shares the next", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  const gate = gateOf(fs);
  const first = pushAll(journal, ["first"]);
  await gate.reached;
  const rest = pushAll(journal, Array.from({ length: 1000 }, (_, i) => `${i}`));
  gate.open();
  await Promise.all([first, rest]);
  assert.equal(
    fs.count("sync 0000000000000001.seg"),
    3,
    "the header, the first record, all the others",
  );
  await journal.close();
});

Deno.test("a write is durable only after its fsync, and not taken or read before", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  await pushAll(journal, ["before"]);
  const gate = gateOf(fs);
  let durable = false;
  const { entry, durable: done } = journal.push({ userId: "u", value: "v", ts: 1 });
  const told = done.then(() => {
    durable = true;
    fs.events.push("told");
  });
  await gate.reached;
  assert.deepEqual(valuesOf(await takeAll(journal)), ["before"]);
  assert.equal(await journal.read(journal.run, entry.seq), undefined);
  assert.equal(durable, false);
  assert.equal(journal.status().depth, 2);
  gate.open();
  await told;
  assert.deepEqual(fs.events.slice(-2), ["sync 0000000000000001.seg", "told"]);
  assert.deepEqual(await journal.read(journal.run, entry.seq), entry);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["v"]);
  await journal.close();
});

Deno.test("after a failed fsync nothing is accepted or tried again, and all are told", async () => {
  const fs = new FakeFileSystem();
  const { journal, withdrawn } = await open(fs);
  await pushAll(journal, ["durable"]);
  let syncs = 0;
  fs.beforeSync = (name) => {
    if (!name.endsWith(".seg")) return;
    syncs++;
    throw Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
  };
  fs.events.length = 0;
  const values = ["lost", "lost with it", "nobody waits for it"];
  const [first, second] = values.map((value) => journal.push({ userId: "u", value, ts: 1 }));
  for (const { durable } of [first!, second!]) {
    await assert.rejects(durable, hasCode("journal-failed"));
  }
  assert.deepEqual(valuesOf(withdrawn), values);
  assert.equal(journal.stageOf(journal.run, 3), "withdrawn");
  assert.throws(
    () => journal.push({ userId: "u", value: "late", ts: 1 }),
    hasCode("journal-failed"),
  );
  assert.match(journal.status().failure!, /fsync of 0000000000000001.seg failed: No space left/);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["durable"]);
  assert.equal(journal.status().depth, 1);
  // Were the disk to work again, what it said of these bytes would still be worth nothing.
  fs.beforeSync = (name) => {
    if (name.endsWith(".seg")) syncs++;
  };
  await journal.close();
  assert.deepEqual([syncs, fs.count("write 0000000000000001.seg")], [1, 1]);

  const next = await open(fs.afterPowerLoss());
  assert.deepEqual(valuesOf(next.recovered), ["durable"]);
  await next.journal.close();
});

Deno.test("a failed fsync rejects the groups that wait behind it, too", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  fs.beforeSync = () => {
    reached.resolve();
    return gate.promise;
  };
  const first = assert.rejects(pushAll(journal, ["a"]), hasCode("journal-failed"));
  await reached.promise;
  const second = assert.rejects(pushAll(journal, ["b"]), hasCode("journal-failed"));
  gate.reject(new Error("I/O error"));
  await Promise.all([first, second]);
  fs.beforeSync = () => {};
  await journal.close();
});

Deno.test("a full disk rejects what does not fit; writing goes on with space", async () => {
  const fs = new FakeFileSystem();
  let nowMs = 1_000_000;
  const { journal } = await open(fs, { monotonicMs: () => nowMs });
  await pushAll(journal, ["kept"]);
  fs.freeBytes = 10;
  assert.equal(journal.status().lackOfRoom, undefined);
  await assert.rejects(pushAll(journal, ["does not fit"]), hasCode("queue-full"));
  assert.match(journal.status().lackOfRoom!, /disk of .* is full/);
  assert.throws(
    () => journal.push({ userId: "u", value: "at once", ts: 1 }),
    hasCode("queue-full"),
  );
  nowMs += 1_000;
  await assert.rejects(pushAll(journal, ["no new segment either"]), hasCode("queue-full"));
  nowMs += 1_000;
  fs.freeBytes = Infinity;
  await pushAll(journal, ["fits again"]);
  assert.equal(journal.status().failure, undefined);
  assert.equal(journal.status().depth, 2);
  assert.deepEqual(valuesOf(await takeAll(journal)), ["kept", "fits again"]);

  const second = await open(fs.afterPowerLoss());
  assert.deepEqual(valuesOf(second.recovered), ["kept", "fits again"]);
  assert.deepEqual(second.damage, []);
  await second.journal.close();
  await journal.close();
});
