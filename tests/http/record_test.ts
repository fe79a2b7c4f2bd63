import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8Length } from "../../src/domain.ts";
import { AppError } from "../../src/errors.ts";
import { parseRecord } from "../../src/http/record.ts";

const LIMITS = { keyBytes: 512, valueBytes: 256 * 1024 };
const NOW_MS = 1_700_000_000_500;
const parse = (body: unknown) => parseRecord(body, LIMITS, NOW_MS);

function assertRefused(body: unknown, code: string, mentions: RegExp): void {
  assert.throws(() => parse(body), (error: unknown) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.code, code);
    assert.match(error.message, mentions);
    return true;
  });
}

Deno.test("a record without ts gets the second of its acceptance", () => {
  assert.deepEqual(parse({ user_id: "u", value: "v" }), {
    userId: "u",
    value: "v",
    ts: 1_700_000_000,
  });
});

Deno.test("an explicit ts is kept, 0 and 24 hours ahead included", () => {
  for (const ts of [0, 1, 1_700_000_000 + 86_400]) {
    assert.equal(parse({ user_id: "u", value: "", ts }).ts, ts);
  }
});

Deno.test("a ts that is no whole second within bounds is refused", () => {
  for (const ts of [-1, 1.5, 1e300, 1_700_000_000 + 86_401]) {
    assertRefused({ user_id: "u", value: "", ts }, "invalid-record", /ts/);
  }
  for (const ts of ["1", null, true, {}, []]) {
    assertRefused({ user_id: "u", value: "", ts }, "invalid-record", /ts must be/);
  }
  assertRefused({ user_id: "u", value: "", ts: NOW_MS }, "invalid-record", /milliseconds/);
});

Deno.test("a missing or empty user_id has its own code", () => {
  assertRefused({ value: "v" }, "missing-user-id", /user_id/);
  assertRefused({ user_id: "", value: "v" }, "missing-user-id", /user_id/);
});

Deno.test("members of the wrong type, unknown ones and other shapes are refused by name", () => {
  assertRefused(
    { user_id: 1, value: "v" },
    "invalid-record",
    /user_id must be a string, but it is a number/,
  );
  assertRefused({ user_id: "u" }, "invalid-record", /"value" is missing/);
  assertRefused(
    { user_id: "u", value: null },
    "invalid-record",
    /value must be a string, but it is null/,
  );
  assertRefused({ user_id: "u", value: "v", extra: 1 }, "invalid-record", /"extra"/);
  assertRefused(
    JSON.parse('{"user_id":"u","value":"v","__proto__":{}}'),
    "invalid-record",
    /__proto__/,
  );
  for (const body of [null, [], "text", 1, true]) assertRefused(body, "invalid-record", /object/);
});

Deno.test("text that PostgreSQL cannot keep is refused", () => {
  for (const bad of ["a\0b", "\ud800", "x\udc00y"]) {
    assertRefused({ user_id: bad, value: "v" }, "invalid-record", /user_id/);
    assertRefused({ user_id: "u", value: bad }, "invalid-record", /value/);
  }
});

Deno.test("limits count bytes of UTF-8, not characters", () => {
  assert.equal(parse({ user_id: "é".repeat(256), value: "" }).userId.length, 256);
  assertRefused({ user_id: "é".repeat(256) + "x", value: "" }, "invalid-record", /513 bytes/);
  assert.equal(parse({ user_id: "u", value: "😀".repeat(65_536) }).value.length, 131_072);
  assertRefused(
    { user_id: "u", value: "😀".repeat(65_536) + "x" },
    "invalid-record",
    /262145 bytes/,
  );
});

Deno.test("the length in UTF-8 is that of the encoder", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    assert.equal(utf8Length(text), new TextEncoder().encode(text).length);
  }));
});
