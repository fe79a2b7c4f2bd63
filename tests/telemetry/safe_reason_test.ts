import assert from "node:assert/strict";
import {
  AppError,
  RejectedRowError,
  StoreNotAskedError,
  StoreRefusesError,
  StoreUnavailableError,
} from "../../src/errors.ts";
import { safeReasonOf } from "../../src/telemetry/safe_reason.ts";

const SECRET = "s3cr3t-of-user-77";

/** An error as PostgreSQL's driver makes it. */
function ofServer(code: string, message: string, where?: string): Error {
  return Object.assign(new Error(message), { code, severity: "ERROR", where });
}

Deno.test("what a database says is told where it is of the table, and left out where it may be of the row", () => {
  const told: [error: Error, reason: string | RegExp][] = [
    [ofServer("42501", "permission denied for table user_data"), /^permission denied for table/],
    [ofServer("57P01", "terminating connection due to administrator command"), /^terminating/],
    [
      ofServer("53300", "sorry, too many clients already"),
      /^sorry, too many clients already$/,
    ],
    [ofServer("22P02", `invalid input syntax for type integer: "${SECRET}"`), /does not fit/],
    [ofServer("22P02", `invalid`, `COPY user_data, line 1, column ts: "${SECRET}"`), /not fit/],
    [ofServer("P0001", `no ${SECRET} today`, "PL/pgSQL function f() line 1 at RAISE"), /raised/],
    [ofServer("23514", `no ${SECRET}`, "PL/pgSQL function f() line 1 at RAISE"), /a check/],
    [ofServer("MY001", SECRET), /^the database refuses it \(MY001\)$/],
    [new RejectedRowError("22003", `value "${SECRET}" is out of range`), /does not fit/],
    [
      new RejectedRowError("23514", 'new row for relation "u" violates check constraint "c"'),
      /^new row for relation "u" violates check constraint "c" \(23514\)$/,
    ],
  ];
  for (const [error, reason] of told) {
    const text = safeReasonOf(error);
    assert.match(text, new RegExp(reason));
    assert.ok(!text.includes(SECRET), text);
  }
});

Deno.test("a cause is told where it says more, unless it is a driver's or of what a client sent", () => {
  const raw = ofServer("22P02", SECRET);
  assert.equal(safeReasonOf(new StoreRefusesError("22P02", "worded", { cause: raw })), "worded");
  const away = new StoreUnavailableError("connection refused");
  const notAsked = new StoreNotAskedError("not asked", undefined, { cause: away });
  assert.equal(safeReasonOf(notAsked), "not asked: connection refused");
  const answer = new AppError("store-unavailable", SECRET, { cause: away });
  assert.equal(safeReasonOf(answer), "store-unavailable: connection refused");
  const unread = new AppError("invalid-json", SECRET, { cause: new SyntaxError(SECRET) });
  assert.equal(safeReasonOf(unread), "invalid-json");
  const defect = new Error("cannot go on", { cause: new Error("EIO") });
  assert.equal(safeReasonOf(defect), "cannot go on: EIO");
});

Deno.test("what a parser or Redis repeats of its input is left out", () => {
  assert.ok(!safeReasonOf(new SyntaxError(`Unexpected token in ${SECRET}`)).includes(SECRET));
  const unknown = `ERR unknown command 'EVAL', with args beginning with: '${SECRET}' 'x'`;
  assert.equal(safeReasonOf(new Error(unknown)), "ERR unknown command 'EVAL'");
});
