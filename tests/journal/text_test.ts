import assert from "node:assert/strict";
import { readText, writeText } from "../../src/journal/text.ts";

const TEXTS = ["", "a", "user-12345", "é", "a€😀z", "\ufeffmark", "\u007f\u0080", "x".repeat(500)];

Deno.test("text is UTF-8 in the record and the same afterwards, wherever it stands", () => {
  for (const text of [...TEXTS, ...TEXTS.map((each) => "long".repeat(40) + each)]) {
    const bytes = new Uint8Array(2 + 3 * text.length).fill(0xff);
    const end = 2 + writeText(text, bytes, 2);
    assert.deepEqual(bytes.slice(2, end), new TextEncoder().encode(text));
    assert.equal(readText(bytes, 2, end), text);
  }
});

Deno.test("half of a surrogate pair becomes the replacement character", () => {
  const bytes = new Uint8Array(12);
  assert.equal(readText(bytes, 0, writeText("a\ud800b", bytes, 0)), "a\ufffdb");
});
