import assert from "node:assert/strict";
import fc from "fast-check";
import type { Entry } from "../../src/domain.ts";
import { AppError } from "../../src/errors.ts";
import {
  checksum,
  decodeHeader,
  decodeRecord,
  encodeHeader,
  encodeRecord,
  HEADER_BYTES,
  recordBytesBound,
  type SegmentHeader,
} from "../../src/journal/codec.ts";

const header: SegmentHeader = {
  instance: "abcdefghij01",
  run: "runrunrunrun",
  salt: 0xdeadbeef,
  firstSeq: 2 ** 40 + 1,
  previousSeq: 2 ** 40,
  lastAcceptedMs: 1_700_000_000_123,
};

function encode(entry: Entry): Uint8Array {
  const bytes = new Uint8Array(recordBytesBound(entry.userId, entry.value));
  return bytes.subarray(0, encodeRecord(bytes, new DataView(bytes.buffer), 0, entry, header.salt));
}

function decode(bytes: Uint8Array): Entry | undefined {
  return decodeRecord(bytes, new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length, header);
}

function entryOf(userId: string, value: string): Entry {
  return {
    userId,
    value,
    ts: 1_700_000_000,
    acceptedMs: 1_700_000_000_123,
    run: header.instance,
    seq: 7,
  };
}

Deno.test("awkward texts come back as they were written", () => {
  const texts = [
    "",
    "plain",
    "ä€😀👩‍👩‍👧",
    "\u0001\t\r\n\u007f\u0085\u2028",
    "\ufeffwith a byte order mark",
    "x".repeat(256 * 1024),
  ];
  for (const value of texts) {
    const entry = entryOf("ü😀", value);
    assert.deepEqual(decode(encode(entry)), entry);
  }
});

Deno.test("any well-formed entry comes back as it was written", () => {
  const text = fc.string({ unit: "binary" });
  const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  fc.assert(fc.property(text, text, count, count, count, (userId, value, ts, acceptedMs, seq) => {
    const entry = { userId, value, ts, acceptedMs, run: header.instance, seq };
    assert.deepEqual(decode(encode(entry)), entry);
  }));
});

Deno.test("a record with any one bit flipped is not a record", () => {
  const bytes = encode(entryOf("user", "value"));
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(decode(bytes), undefined, `bit ${bit}`);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
});

Deno.test("a record of another segment's salt is not a record", () => {
  const bytes = encode(entryOf("user", "value"));
  const other = { ...header, salt: header.salt ^ 1 };
  assert.equal(decodeRecord(bytes, new DataView(bytes.buffer), 0, bytes.length, other), undefined);
});

Deno.test("a header comes back from either of its copies", () => {
  const bytes = encodeHeader(header);
  assert.equal(bytes.length, HEADER_BYTES);
  assert.deepEqual(decodeHeader(bytes), header);
  const firstLost = bytes.slice().fill(0xff, 0, 512);
  assert.deepEqual(decodeHeader(firstLost), header);
  const bothLost = firstLost.slice().fill(0xff, 4096);
  assert.equal(decodeHeader(bothLost), undefined);
});

Deno.test("an unknown format version is refused, naming it", () => {
  const bytes = encodeHeader(header);
  const view = new DataView(bytes.buffer);
  view.setUint16(8, 2);
  view.setUint32(64, checksum(bytes.subarray(0, 64)));
  assert.throws(
    () => decodeHeader(bytes),
    (error) => error instanceof AppError && /format version 2/.test(error.message),
  );
});

Deno.test("unknown flags are refused, naming them", () => {
  const bytes = encode(entryOf("user", "value"));
  bytes[32] = 1;
  new DataView(bytes.buffer).setUint32(0, checksum(bytes.subarray(4), header.salt));
  assert.throws(() => decode(bytes), /a record with flags 1/);
});
