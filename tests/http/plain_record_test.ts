import assert from "node:assert/strict";
import fc from "fast-check";
import { readPlainRecord } from "../../src/http/plain_record.ts";

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("a plain record is read as JSON.parse reads it", () => {
  for (
    const text of [
      '{"user_id":"user1","value":"hello","ts":1700000000}',
      '{ "ts" : 0 , "value" : "" , "user_id" : "a b" }',
      '{"value":"v","user_id":"u"}',
      '{"user_id":"first","user_id":"second","value":"v"}',
      `{"user_id":"u","value":"${"x".repeat(5_000)}"}`,
      '{"ts":999999999999999}',
    ]
  ) assert.deepEqual(readPlainRecord(encode(text)), JSON.parse(text), text);
});

Deno.test("what is not plain is left to the parser", () => {
  for (
    const text of [
      "",
      "{",
      "{}",
      "[]",
      '{"user_id":"u","value":"v"',
      '{"user_id":"u","value":"v",}',
      '{"user_id":"u","value":"v"}x',
      '{"user_id":"u","value":"v"} ',
      '{"user_id":"u" "value":"v"}',
      '{"user_id":"u\\n"}',
      '{"user_id":"ü"}',
      '{"user_id":"u\u0001"}',
      '{"user_id":1}',
      '{"ts":"1"}',
      '{"ts":01}',
      '{"ts":-1}',
      '{"ts":1.5}',
      '{"ts":1e3}',
      '{"ts":}',
      '{"ts":1000000000000000}',
      '{"other":"v"}',
      '{"__proto__":"v"}',
      '{"user_id":"u',
      '{"user_id',
      '{"user_id":',
      '\ufeff{"user_id":"u"}',
    ]
  ) assert.equal(readPlainRecord(encode(text)), undefined, text);
});

Deno.test("no bytes are read as anything but what JSON.parse makes of them", () => {
  const record = fc.record({ user_id: fc.string(), value: fc.string(), ts: fc.nat() }, {
    requiredKeys: [],
  });
  const spaced = fc.constantFrom(undefined, 1);
  const damage = fc.array(fc.tuple(fc.nat(80), fc.integer({ min: 0, max: 255 })), { maxLength: 2 });
  fc.assert(
    fc.property(record, spaced, damage, (object, indent, changes) => {
      const bytes = encode(JSON.stringify(object, null, indent));
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
      const read = readPlainRecord(bytes);
      if (read === undefined) return;
      const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
      assert.deepEqual(read, JSON.parse(text));
    }),
    { numRuns: 5_000, seed: 10 },
  );
});
