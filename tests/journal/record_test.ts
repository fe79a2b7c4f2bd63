import assert from "node:assert/strict";
import fc from "fast-check";
import type { Entry } from "../../src/domain.ts";
import { checksum } from "../../src/journal/codec.ts";
import {
  decodeRecord,
  encodeRecord,
  endGroup,
  type Extension,
  extensionsOf,
  type JournalRecord,
  recordBytesBound,
} from "../../src/journal/record.ts";
import { header } from "../support/journals.ts";

function encode(entry: Entry, more: Partial<JournalRecord> = {}): Uint8Array {
  const { extensions = [] } = more;
  const bytes = new Uint8Array(recordBytesBound(entry.userId, entry.value, extensions));
  const view = new DataView(bytes.buffer);
  const size = encodeRecord(bytes, view, 0, entry, header.salt, more);
  if (more.endsGroup) endGroup(bytes, view, 0, size, header.salt);
  return bytes.subarray(0, size);
}

function decode(bytes: Uint8Array, of = header): JournalRecord | undefined {
  return decodeRecord(bytes, new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length, of);
}

/** Makes changed bytes a record again, as another version might have written it. */
function sign(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, checksum(bytes.subarray(4), header.salt));
  return bytes;
}

function entryOf(userId: string, value: string): Entry {
  return {
    userId,
    value,
    ts: 1_700_000_000,
    acceptedMs: 1_700_000_000_123,
    run: header.run,
    seq: 7,
  };
}

const PLAIN = { endsGroup: false, tombstone: false, extensions: [] };

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
    assert.deepEqual(decode(encode(entry)), { entry, ...PLAIN });
  }
});

Deno.test("a record of a sampled write carries its trace, and one without takes no room for it", () => {
  const trace = { traceId: "1".repeat(32), spanId: "2".repeat(16) };
  const entry = { ...entryOf("ada", "one"), trace };
  const extensions = extensionsOf(entry);
  const decoded = decode(encode(entry, { extensions }));
  assert.deepEqual(decoded, { entry, ...PLAIN, extensions });
  assert.deepEqual(extensionsOf(entryOf("ada", "one")), []);
  // What no version of this has written is kept, and tells nothing.
  const odd = [{ type: extensions[0]!.type, bytes: new Uint8Array(24) }];
  const plain = entryOf("ada", "one");
  assert.deepEqual(decode(encode(plain, { extensions: odd })), {
    entry: plain,
    ...PLAIN,
    extensions: odd,
  });
});

Deno.test("any record comes back as it was written, with what this version does not know", () => {
  const text = fc.string({ unit: "binary" });
  const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  const extension: fc.Arbitrary<Extension> = fc.record({
    type: fc.integer({ min: 2, max: 0xffff }),
    bytes: fc.uint8Array({ maxLength: 300 }),
  }, { noNullPrototype: true });
  const extensions = fc.array(extension, { maxLength: 5 });
  const flag = fc.boolean();
  fc.assert(fc.property(
    fc.tuple(text, text, count, count, count),
    fc.tuple(flag, flag, extensions),
    ([userId, value, ts, acceptedMs, seq], [endsGroup, tombstone, extensions]) => {
      const entry = { userId, value, ts, acceptedMs, run: header.run, seq };
      const record = { entry, endsGroup, tombstone, extensions };
      assert.deepEqual(decode(encode(entry, record)), record);
    },
  ));
});

Deno.test("a record with any one bit flipped is not a record", () => {
  const bytes = encode(entryOf("user", "value"), {
    endsGroup: true,
    extensions: [{ type: 9, bytes: new Uint8Array([1, 2, 3]) }],
  });
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(decode(bytes), undefined, `bit ${bit}`);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
});

Deno.test("a record of another segment's salt is not a record", () => {
  const bytes = encode(entryOf("user", "value"));
  assert.equal(decode(bytes, { ...header, salt: header.salt ^ 1 }), undefined);
});

Deno.test("unknown flags are refused, naming them, and in format 1 all flags are unknown", () => {
  const bytes = encode(entryOf("user", "value"));
  bytes[32] = 8;
  assert.throws(() => decode(sign(bytes)), /a record with flags 8/);
  bytes[32] = 1;
  assert.equal(decode(sign(bytes))?.endsGroup, true);
  assert.throws(() => decode(bytes, { ...header, format: 1 }), /a record with flags 1/);
});

Deno.test("extensions whose lengths do not fit are not a record", () => {
  const extensions = [{ type: 1, bytes: new Uint8Array(10) }];
  const lengthsAt = { block: 35, field: 41 };
  for (const at of Object.values(lengthsAt)) {
    for (const length of [1, 17, 5_000, 0xffffffff]) {
      const bytes = encode(entryOf("user", "value"), { extensions });
      new DataView(bytes.buffer).setUint32(at, length);
      assert.equal(decode(sign(bytes)), undefined, `${length} at ${at}`);
    }
  }
});

Deno.test("a block without extensions is one that a later version may write", () => {
  const plain = encode(entryOf("user", "value"));
  const bytes = new Uint8Array(plain.length + 4);
  bytes.set(plain.subarray(0, 35));
  bytes.set(plain.subarray(35), 39);
  bytes[32] = 4;
  new DataView(bytes.buffer).setUint32(4, bytes.length - 8);
  assert.deepEqual(decode(sign(bytes)), { entry: entryOf("user", "value"), ...PLAIN });
});
