import assert from "node:assert/strict";
import fc from "fast-check";
import { parseTraceparent, traceContextBytes, traceContextOf } from "../src/trace_context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

Deno.test("a caller's trace is read with what it says of being sampled", () => {
  const context = { traceId: TRACE, spanId: SPAN };
  const cases: readonly [string, boolean][] = [
    [`00-${TRACE}-${SPAN}-01`, true],
    [`00-${TRACE}-${SPAN}-00`, false],
    // The other flags say nothing of it.
    [`00-${TRACE}-${SPAN}-02`, false],
    [`00-${TRACE}-${SPAN}-03`, true],
    // A later version may say more behind what is known.
    [`01-${TRACE}-${SPAN}-01`, true],
    [`cc-${TRACE}-${SPAN}-01-what-will-be`, true],
  ];
  for (const [text, sampled] of cases) {
    assert.deepEqual(parseTraceparent(text), { ...context, sampled }, text);
  }
});

Deno.test("what is no trace is passed over", () => {
  const texts = [
    null,
    "",
    "00",
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE.slice(1)}-${SPAN}-01`,
    `cc-${TRACE}-${SPAN}-01what`,
    ` 00-${TRACE}-${SPAN}-01`,
  ];
  for (const text of texts) assert.equal(parseTraceparent(text), undefined, String(text));
});

Deno.test("a context comes back from its bytes, and nothing from others", () => {
  const hex = (bytes: number) =>
    fc.uint8Array({ minLength: bytes, maxLength: bytes }).filter((all) => all.some((b) => b > 0))
      .map((all) => all.toHex());
  fc.assert(fc.property(hex(16), hex(8), (traceId, spanId) => {
    assert.deepEqual(traceContextOf(traceContextBytes({ traceId, spanId })), { traceId, spanId });
  }));
  for (const length of [0, 23, 24, 25]) {
    assert.equal(traceContextOf(new Uint8Array(length)), undefined, `${length} zeros`);
  }
});
