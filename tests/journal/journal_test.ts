import assert from "node:assert/strict";
import { join } from "node:path";
import { AppError } from "../../src/errors.ts";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { openJournal } from "../../src/journal/journal.ts";
import { verifyJournal } from "../../src/journal/verify.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";
import { NOBODY, open, pushAll, settleAll, takeAll, valuesOf } from "../support/journals.ts";

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof AppError && error.code === code;
}

async function inTempDir(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("the trace of a sampled write survives a restart, and the next one has none", async () => {
  const trace = { traceId: "1".repeat(32), spanId: "2".repeat(16) };
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  const write = { userId: "ada", value: "one", ts: 1 };
  await Promise.all([journal.push({ ...write, trace }).durable, journal.push(write).durable]);
  await journal.close();
  const { journal: again, recovered } = await open(fs);
  assert.deepEqual(recovered.map((entry) => entry.trace), [trace, undefined]);
  assert.deepEqual((await takeAll(again)).map((entry) => entry.trace), [trace, undefined]);
  await again.close();
});

Deno.test("on a real disk awkward texts survive a restart, and can be read and settled", () =>
  inTempDir(async (temp) => {
    const dir = join(temp, "deep", "journal");
    const values = ["", "ä€😀", "\u0001\n\u007f", "\ufeffbom", "x".repeat(256 * 1024), "last"];
    const first = await openJournal({ dir, maxBytes: 1 << 30, retainMs: 0, listener: NOBODY });
    await pushAll(first, values);
    assert.deepEqual(valuesOf(await takeAll(first)), values);
    await first.close();

    const recovered: string[] = [];
    const second = await openJournal({
      dir,
      maxBytes: 1 << 30,
      retainMs: 0,
      listener: { ...NOBODY, unsettled: ({ value }) => recovered.push(value) },
    });
    assert.deepEqual(recovered, values);
    assert.equal((await second.read(first.run, 3))?.value, values[2]);
    await settleAll(second);
    assert.equal(second.status().depth, 0);
    await second.close();
    await second.close();
    assert.deepEqual((await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort(), [
      "checkpoint",
      "instance",
      "lock",
    ]);
  }));

Deno.test("a directory in use is refused by name, can be verified, and is free later", () =>
  inTempDir(async (dir) => {
    const journal = await openJournal({ dir, maxBytes: 1 << 30, retainMs: 0, listener: NOBODY });
    await pushAll(journal, ["a"]);
    const module = new URL("../../src/journal/journal.ts", import.meta.url).href;
    const script = `const { openJournal } = await import(${JSON.stringify(module)});
      try { await openJournal({ dir: ${
      JSON.stringify(dir)
    }, maxBytes: 1e9, retainMs: 0, listener: {} }); console.log("opened"); }
      catch (error) { console.log(error.code, error.message); }
      Deno.exit();`;
    const run = async () => {
      const config = new URL("../../deno.json", import.meta.url).pathname;
      const args = ["eval", "--no-lock", "--config", config, script];
      return new TextDecoder().decode(
        (await new Deno.Command(Deno.execPath(), { args }).output()).stdout,
      );
    };
    const refused = await run();
    assert.match(refused, /^journal-failed Cannot open the journal in /);
    assert.ok(refused.includes(dir) && refused.includes("DATA_DIR"), refused);
    const { records } = await verifyJournal(denoFileSystem, dir);
    assert.equal(records, 1);
    await settleAll(journal);
    await journal.close();
    assert.equal((await run()).trim(), "opened");
  }));

Deno.test("verifying a directory that does not exist finds nothing and makes nothing", () =>
  inTempDir(async (temp) => {
    const dir = join(temp, "none");
    const { segments, records, damage } = await verifyJournal(denoFileSystem, dir);
    assert.deepEqual({ segments, records, damage }, { segments: 0, records: 0, damage: [] });
    await assert.rejects(Deno.stat(dir), Deno.errors.NotFound);
  }));

Deno.test("closing makes durable what was pushed, then refuses everything", async () => {
  const fs = new FakeFileSystem();
  const { journal } = await open(fs);
  const { durable } = journal.push({ userId: "u", value: "v", ts: 1 });
  const closed = journal.close();
  assert.throws(
    () => journal.push({ userId: "u", value: "late", ts: 1 }),
    hasCode("shutting-down"),
  );
  await durable;
  await closed;
  await assert.rejects(journal.take(1), hasCode("shutting-down"));
  const second = await open(fs);
  assert.deepEqual(valuesOf(second.recovered), ["v"]);
  await second.journal.close();
});
