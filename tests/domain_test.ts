import assert from "node:assert/strict";
import fc from "fast-check";
import { compareVersions, newest, parseWriteId, type Version, writeId } from "../src/domain.ts";
import { entry } from "./support/fakes.ts";

const SEED = Number(Deno.env.get("PROPERTY_SEED") ?? 1);

// Few different values, so that equal parts are common.
const version: fc.Arbitrary<Version> = fc.record({
  ts: fc.integer({ min: 0, max: 2 }),
  acceptedMs: fc.integer({ min: 0, max: 2 }),
  run: fc.constantFrom("", "instance0001", "instance0002"),
  seq: fc.integer({ min: 0, max: 2 }),
});

function check<T extends unknown[]>(property: fc.IProperty<T>): void {
  fc.assert(property, { seed: SEED, numRuns: 2_000 });
}

Deno.test("versions are in one total order: of two that differ one is newer", () => {
  check(fc.property(version, version, (a, b) => {
    assert.equal(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)) + 0);
    const same = a.ts === b.ts && a.acceptedMs === b.acceptedMs && a.run === b.run &&
      a.seq === b.seq;
    assert.equal(compareVersions(a, b) === 0, same);
  }));
});

Deno.test("newer than a newer one is newer", () => {
  check(fc.property(version, version, version, (a, b, c) => {
    const [x, y, z] = [a, b, c].sort(compareVersions) as [Version, Version, Version];
    assert.ok(
      compareVersions(x, y) <= 0 && compareVersions(y, z) <= 0 && compareVersions(x, z) <= 0,
    );
  }));
});

Deno.test("a larger ts wins, whatever else is smaller", () => {
  check(fc.property(version, version, (a, b) => {
    assert.ok(compareVersions({ ...a, ts: b.ts + 1 }, b) > 0);
  }));
});

Deno.test("the newest of two entries does not depend on their order", () => {
  check(fc.property(version, version, (a, b) => {
    const [first, second] = [entry(1, a), entry(1, b)];
    assert.deepEqual(newest(first, second), newest(second, first));
    assert.equal(newest(first, undefined), first);
    assert.equal(newest(undefined, second), second);
  }));
});

Deno.test("a write id names its run and number, and nothing else is one", () => {
  const run = fc.stringMatching(/^[0-9a-z]{12}$/);
  check(
    fc.property(run, fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (run, seq) => {
      assert.deepEqual(parseWriteId(writeId({ run, seq })), { run, seq });
    }),
  );
  check(fc.property(fc.string(), (text) => {
    const id = parseWriteId(text);
    assert.ok(id === undefined || writeId(id) === text);
  }));
});
