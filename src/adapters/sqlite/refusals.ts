/**
 * Judges what SQLite, or a look at its answer, has against a call; it runs in the worker
 * (worker.ts).
 */
import { reasonOf } from "../../errors.ts";
import type { Rejection } from "../../ports/dead_letters.ts";
import type { FailureKind, Request } from "./messages.ts";

/** Says that a statement changed nothing. */
export class Vanished extends Error {
  override readonly message = "a trigger of user_data lets the row vanish";
}

/** Says that the mark is below what was confirmed. */
export class WentBack extends Error {}

/** Says that nothing can be stored at all. */
export class TableRefuses extends Error {
  constructor(readonly rejection: Rejection) {
    super(rejection.message);
  }
}

/**
 * Returns why the row cannot go in; undefined when it went in. A statement that fails leaves
 * nothing behind.
 * @throws what may pass
 */
export function refusalOf(work: () => void): Rejection | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    const rejected = rejectionOf(error);
    if (rejected === undefined) throw error;
    return { code: rejected, message: reasonOf(error) };
  }
}

/**
 * With ERROR (out of a trigger), TOOBIG, CONSTRAINT and MISMATCH the row or the table is at fault.
 * All others may pass.
 */
const ROW_ERRORS = new Set([1, 18, 19, 20]);

/** Returns the name of the refusal; undefined when the row is not at fault. */
export function rejectionOf(error: unknown): string | undefined {
  if (error instanceof Vanished) return "SQLITE_IGNORE";
  const code = resultCodeOf(error);
  return code !== undefined && ROW_ERRORS.has(code & 0xff) ? `SQLITE_${code}` : undefined;
}

/** Returns SQLite's result code; undefined where the runtime does not pass it on, as for `exec`. */
function resultCodeOf(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" ? code : undefined;
}

/**
 * Returns what kind of failure an error is.
 * @param call only a replay or a retry is about one row, which alone may be at fault
 */
export function kindOf(error: unknown, call: Request["call"]): FailureKind {
  if (error instanceof WentBack) return { kind: "went back", code: "" };
  if (error instanceof TableRefuses) return { kind: "refuses", code: error.rejection.code };
  const rejected = rejectionOf(error);
  if (rejected !== undefined) {
    return { kind: call === "replay" || call === "retry" ? "rejected" : "refuses", code: rejected };
  }
  if ((error as { code?: unknown }).code !== "ERR_SQLITE_ERROR") {
    return { kind: "defect", code: "" };
  }
  const code = resultCodeOf(error);
  return { kind: "may pass", code: code === undefined ? "SQLITE" : `SQLITE_${code}` };
}
