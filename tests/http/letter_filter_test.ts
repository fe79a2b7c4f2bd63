import assert from "node:assert/strict";
import { AppError } from "../../src/errors.ts";
import { parseFilter } from "../../src/http/letter_filter.ts";

const parse = (parameters: Record<string, string>) =>
  parseFilter(new Map(Object.entries(parameters)));
const noon = Date.UTC(2026, 0, 31, 12);

Deno.test("a time is a date, a time with its offset, or Unix seconds", () => {
  for (
    const [text, ms] of [
      ["2026-01-31T12:00:00Z", noon],
      ["2026-01-31T12:00Z", noon],
      ["2026-01-31T14:00:00.000+02:00", noon],
      ["2026-01-31", noon - 12 * 3_600_000],
      [String(noon / 1_000), noon],
      [`${noon / 1_000}.25`, noon + 250],
      ["0", 0],
    ] as const
  ) {
    assert.deepEqual(parse({ from: text }), { fromMs: ms }, text);
  }
});

Deno.test("what is not clear is refused, and says what would be", () => {
  const wrong: Record<string, string>[] = [
    { from: "" },
    { from: "yesterday" },
    { from: "2026-02-30" },
    { from: "2026-13-01" },
    { from: "2026-01-31T12:00:00" },
    { from: "2026-01-31T12:00:00 02:00" },
    { from: "2026-01-31T25:00:00Z" },
    { from: "-1" },
    { from: "1e9" },
    { until: "999999999999" },
    { from: "2", until: "2" },
    { user_id: "" },
    { user_id: "a\0" },
    { user_id: "\ud800" },
    { code: "" },
    { code: "a b" },
    { code: "x".repeat(65) },
  ];
  for (const parameters of wrong) {
    assert.throws(
      () => parse(parameters),
      (error) => error instanceof AppError && error.code === "invalid-parameter",
      JSON.stringify(parameters),
    );
  }
  assert.deepEqual(parse({ user_id: "é'\n", code: "23514", limit: "x" }), {
    userId: "é'\n",
    code: "23514",
  });
});
