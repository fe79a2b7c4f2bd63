import assert from "node:assert/strict";
import { StoreRefusesError } from "../../src/errors.ts";
import { openStoreBinding, WrongStoreError } from "../../src/guarding/store_binding.ts";
import { StoreGate } from "../../src/guarding/store_gate.ts";
import { FakeFileSystem } from "../support/fake_file_system.ts";

const HERE = "database d on here:5432";
const THERE = "database d on there:5432";

async function setUp(place: string) {
  const lines: string[] = [];
  const fs = new FakeFileSystem();
  const binding = await openStoreBinding("/data", "postgres", fs);
  const gate = new StoreGate(place, { error: (message) => lines.push(message) });
  return { gate, binding, fs, lines };
}

Deno.test("nobody is let in before it is known which store the directory belongs to", async () => {
  const { gate, binding } = await setUp(HERE);
  await assert.rejects(gate.admit("any"), (error) => !(error instanceof StoreRefusesError));
  gate.binding = binding;
  await gate.admit("any");
  await gate.bind("any");
  assert.equal(binding.identity, "any");
});

Deno.test("another database in another place is neither let in nor taken note of", async () => {
  const { gate, binding, lines } = await setUp(THERE);
  await binding.confirm("ours", HERE);
  gate.binding = binding;
  const isWrong = (error: unknown) =>
    error instanceof StoreRefusesError && error.cause instanceof WrongStoreError;
  await assert.rejects(gate.admit("theirs"), isWrong);
  await assert.rejects(gate.bind("theirs"), isWrong);
  assert.deepEqual([binding.identity, binding.isAt(HERE), lines], ["ours", true, []]);
  await assert.rejects(gate.check(() => gate.admit("theirs")), WrongStoreError);
  await gate.check(() => Promise.reject(new Error("no answer")));
});

Deno.test("a database made anew in the same place is let in, and told", async () => {
  const { gate, binding, lines } = await setUp(HERE);
  await binding.confirm("former", HERE);
  gate.binding = binding;
  await gate.admit(undefined);
  await gate.bind("new");
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /made anew/);
});

Deno.test("a directory that cannot take note keeps nobody out", async () => {
  const { gate, binding, fs, lines } = await setUp(HERE);
  gate.binding = binding;
  fs.takeAway("/data");
  await gate.bind("ours");
  assert.match(lines[0]!, /cannot take note/);
});
