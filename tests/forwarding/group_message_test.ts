import assert from "node:assert/strict";
import crc32c from "crc-32/crc32c";
import fc from "fast-check";
import { decodeGroup, encodeGroup, UndecodableError } from "../../src/forwarding/group_message.ts";
import type { EntryGroup } from "../../src/ports/group_store.ts";
import { group, SOURCE } from "../support/groups.ts";

const someGroup = fc.array(
  fc.record({
    userId: fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
    value: fc.string({ unit: "grapheme", maxLength: 200 }),
    ts: fc.nat(2_000_000_000),
    acceptedMs: fc.nat(2 ** 31),
    gap: fc.nat(3),
  }),
  { maxLength: 20 },
).map((records): EntryGroup => {
  let seq = 10;
  const entries = records.map(({ gap, ...record }) => {
    seq += 1 + gap;
    return { ...record, run: SOURCE, seq };
  });
  return { source: `instance0001/${SOURCE}`, first: 11, last: Math.max(seq, 11), entries };
});

Deno.test("a group comes back as it was encoded", () => {
  fc.assert(fc.property(someGroup, (one) => assert.deepEqual(decodeGroup(encodeGroup(one)), one)));
});

Deno.test("whatever byte is changed, a message is refused and not misread", () => {
  const bytes = encodeGroup(group(5, 9, SOURCE, [6]));
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at]! ^= 0x40;
    assert.throws(() => decodeGroup(changed), UndecodableError, `byte ${at}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeGroup(bytes.subarray(0, length)), UndecodableError);
  }
});

Deno.test("whatever bytes come, they are refused in words", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.throws(() => decodeGroup(bytes), UndecodableError);
    }),
  );
});

Deno.test("a message names the store that it is for, or none", () => {
  const named = { ...group(1, 2), store: crypto.randomUUID() };
  assert.deepEqual(decodeGroup(encodeGroup(named)), named);
  // As a version wrote it that knew no stores.
  const former = signed(encodeGroup(group(1, 2)).slice(0, -1), () => {});
  assert.deepEqual(decodeGroup(former), group(1, 2));
});

Deno.test("a message carries the traces of sampled writes, beside fields that are not known", () => {
  const one = group(1, 2);
  const trace = { traceId: "1".repeat(32), spanId: "2".repeat(16) };
  const [first, second] = one.entries;
  const sampled = { ...one, entries: [first!, { ...second!, trace }] };
  const bytes = encodeGroup(sampled);
  assert.deepEqual(decodeGroup(bytes), sampled);
  assert.equal(encodeGroup(one).length, bytes.length - 27);
  // The field before the byte for the store, under a type that nobody knows.
  const unknown = signed(bytes, (copy) => copy[copy.length - 28] = 0xfe);
  assert.deepEqual(decodeGroup(unknown), one);
  const tooLong = signed(bytes, (copy) => copy[copy.length - 26] = 0xff);
  assert.deepEqual(decodeGroup(tooLong), one);
});

Deno.test("a message of a later version says so", () => {
  const bytes = signed(encodeGroup(group(1, 2)), (copy) => copy[8] = 2);
  assert.throws(() => decodeGroup(bytes), /version 2/);
});

Deno.test("numbers out of their interval or order are refused", () => {
  const one = group(3, 5);
  const backwards = { ...one, entries: [...one.entries].reverse() };
  for (const bad of [{ ...one, first: 4 }, { ...one, last: 4 }, { ...one, first: 0 }, backwards]) {
    assert.throws(() => decodeGroup(encodeGroup(bad)), /not within/);
  }
});

/** Changes a message and gives it the checksum that its sender would. */
function signed(bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array {
  const copy = bytes.slice();
  change(copy);
  new DataView(copy.buffer).setUint32(4, crc32c.buf(copy.subarray(8)) >>> 0);
  return copy;
}
