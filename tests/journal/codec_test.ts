import assert from "node:assert/strict";
import oracle from "crc-32/crc32c";
import fc from "fast-check";
import { AppError } from "../../src/errors.ts";
import {
  checksum,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  recordsBeginAt,
  type SegmentHeader,
} from "../../src/journal/codec.ts";
import { crc32c } from "../../src/journal/crc32c.ts";

const header: SegmentHeader = {
  format: 2,
  instance: "abcdefghij01",
  run: "runrunrunrun",
  salt: 0xdeadbeef,
  firstSeq: 2 ** 40 + 1,
  previousRun: "runrunrunrun",
  previousSeq: 2 ** 40,
  lastAcceptedMs: 1_700_000_000_123,
};

Deno.test("a header of either format comes back from either of its copies", () => {
  for (const format of [1, 2] as const) {
    const of: SegmentHeader = {
      ...header,
      format,
      previousRun: format === 1 ? header.instance : header.previousRun,
    };
    const bytes = encodeHeader(of);
    assert.equal(bytes.length, recordsBeginAt(format));
    assert.deepEqual(decodeHeader(bytes), of);
    const firstLost = bytes.slice().fill(0xff, 0, 512);
    assert.deepEqual(decodeHeader(firstLost), of);
    const bothLost = firstLost.slice().fill(0xff, 4096);
    assert.equal(decodeHeader(bothLost), undefined);
  }
});

Deno.test("the very first segment follows nothing", () => {
  const first = { ...header, firstSeq: 1, previousRun: "", previousSeq: 0 };
  assert.deepEqual(decodeHeader(encodeHeader(first)), first);
});

Deno.test("a header with any one bit of a copy flipped is read from the other", () => {
  const bytes = encodeHeader(header);
  for (let bit = 0; bit < (HEADER_BYTES - 4096) * 8; bit++) {
    for (const copyAt of [0, 4096]) {
      bytes[copyAt + (bit >> 3)]! ^= 1 << (bit & 7);
      assert.deepEqual(decodeHeader(bytes), header, `bit ${bit} of the copy at ${copyAt}`);
      bytes[copyAt + (bit >> 3)]! ^= 1 << (bit & 7);
    }
  }
});

Deno.test("any header comes back as it was written", () => {
  const id = fc.stringMatching(/^[0-9a-z]{12}$/);
  const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  fc.assert(fc.property(
    id,
    id,
    id,
    fc.nat({ max: 2 ** 32 - 1 }),
    count,
    count,
    count,
    (instance, run, previousRun, salt, firstSeq, previousSeq, lastAcceptedMs) => {
      const any: SegmentHeader = {
        format: 2,
        instance,
        run,
        salt,
        firstSeq,
        previousRun,
        previousSeq,
        lastAcceptedMs,
      };
      assert.deepEqual(decodeHeader(encodeHeader(any)), any);
    },
  ));
});

Deno.test("an unknown format is refused, naming it", () => {
  const bytes = encodeHeader(header);
  const view = new DataView(bytes.buffer);
  view.setUint16(8, 3);
  view.setUint32(64, checksum(bytes.subarray(0, 64)));
  assert.throws(
    () => decodeHeader(bytes),
    (error) => error instanceof AppError && /format version 3/.test(error.message),
  );
});

/** The first look of programs that know only format 1: magic, checksum, then the format. */
function formatAsBefore(copy: Uint8Array): number | "no header" {
  const view = new DataView(copy.buffer, copy.byteOffset);
  const whole = new TextDecoder().decode(copy.subarray(0, 8)) === "dsproxyJ" &&
    view.getUint32(64) === checksum(copy.subarray(0, 64));
  return whole ? view.getUint16(8) : "no header";
}

Deno.test("older programs see the number of the format, and no damage", () => {
  const bytes = encodeHeader(header);
  assert.equal(formatAsBefore(bytes), 2);
  assert.equal(formatAsBefore(bytes.subarray(4096)), 2);
});

Deno.test("the checksum of a part is that of the package, for every length and seed", () => {
  const bytes = crypto.getRandomValues(new Uint8Array(300));
  for (let length = 0; length < 100; length++) {
    for (const seed of [0, 1, 0x7fffffff, 0xdeadbeef]) {
      const part = bytes.subarray(length, 2 * length);
      assert.equal(crc32c(bytes, length, 2 * length, seed), oracle.buf(part, seed | 0) >>> 0);
    }
  }
});
