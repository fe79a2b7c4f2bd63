import assert from "node:assert/strict";
import fc from "fast-check";
import { namesTag, preferredForm } from "../../src/http/negotiation.ts";

Deno.test("JSON is for who prefers it, by name or by a range; everybody else gets text", () => {
  const forms: readonly (readonly [accept: string | null, form: "text" | "json"])[] = [
    [null, "text"],
    ["", "text"],
    ["*/*", "text"],
    ["text/html,application/xhtml+xml,*/*;q=0.8", "text"],
    ["application/json", "json"],
    ["Application/JSON", "json"],
    ["application/json; charset=utf-8", "json"],
    ["application/json;charset=UTF-8", "json"],
    ["application/*", "json"],
    ["application/json, */*;q=0.1", "json"],
    ["text/*, application/json;q=0.5", "text"],
    ["text/*;q=0.5, application/json", "json"],
    ["text/plain, application/json", "text"],
    ["application/json, text/plain, */*", "json"],
    ["application/json;q=0", "text"],
    ["application/json;q=0, */*", "text"],
    ["application/problem+json", "text"],
    ["image/png", "text"],
    [";;,,q=;", "text"],
  ];
  for (const [accept, form] of forms) assert.equal(preferredForm(accept), form, String(accept));
});

Deno.test("no Accept header makes the negotiation fail", () => {
  fc.assert(fc.property(fc.string(), (accept) => {
    assert.match(preferredForm(accept), /^(text|json)$/);
  }));
});

Deno.test("If-None-Match names a tag alone, in a list, weakly, or with all others", () => {
  const tag = '"0123456789ab-1"';
  for (const header of [tag, `W/${tag}`, `"x", ${tag}`, `"x",W/${tag} , "y"`, "*"]) {
    assert.ok(namesTag(header, tag), header);
  }
  for (
    const header of [
      null,
      "",
      '""',
      '"0123456789ab-10"',
      '"0123456789ab-1-json"',
      "0123456789ab-1",
      '"a,0123456789ab-1,b"',
      '"*"',
    ]
  ) {
    assert.ok(!namesTag(header, tag), String(header));
  }
});

Deno.test("a header that was read before is answered as it was, however many there are", () => {
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 150; i++) {
      assert.equal(preferredForm(`application/json, text/x-${i}`), "json");
      assert.equal(preferredForm(`text/plain, application/x-${i}`), "text");
    }
  }
});
