import assert from "node:assert/strict";
import { bytesOf, pack, unpack } from "../src/packed.ts";
import { entry } from "./support/fakes.ts";

const VALUES = [
  "",
  "short",
  "x".repeat(4_095),
  "x".repeat(4_096),
  `\uFEFFafter a byte order mark${"x".repeat(5_000)}`,
  "é".repeat(10_000),
  "漢😀\0".repeat(2_000),
];

Deno.test("an entry comes out as it was packed, whatever its value", () => {
  for (const value of VALUES) {
    assert.deepEqual(unpack(pack(entry(1, { value }))), entry(1, { value }));
  }
});

Deno.test("a long value is kept as bytes, a short one as it is", () => {
  const short = entry(1, { value: "x".repeat(4_095) });
  assert.equal(pack(short), short);
  assert.ok(pack(entry(1, { value: "x".repeat(4_096) })).value instanceof Uint8Array);
});

Deno.test("what an entry takes is never counted too low", () => {
  for (const value of VALUES) {
    const packed = pack(entry(1, { value }));
    const least = typeof packed.value === "string" ? value.length : packed.value.byteLength;
    assert.ok(bytesOf(packed) > least);
  }
});
