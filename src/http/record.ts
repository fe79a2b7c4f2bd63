/**
 * Checks what a record must look like. Every refusal names the member, the value or its kind, and
 * what is allowed.
 */
import { utf8Length, type Write } from "../domain.ts";
import { AppError } from "../errors.ts";
import { parseJson } from "./json.ts";
import { readPlainRecord } from "./plain_record.ts";

export interface RecordLimits {
  readonly keyBytes: number;
  readonly valueBytes: number;
}

/** The contract lets the `ts` of a client lie so far ahead of our clock. */
const MAX_FUTURE_SECONDS = 24 * 60 * 60;
const MEMBERS = new Set(["user_id", "value", "ts"]);

/**
 * @param body the parsed JSON of one record
 * @param nowMs the time of acceptance, for a missing `ts` and its upper bound
 * @throws AppError `missing-user-id` or `invalid-record`
 */
export function parseRecord(body: unknown, limits: RecordLimits, nowMs: number): Write {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalid(
      `The body must be a JSON object {"user_id", "value", "ts"?}, but it is ${kindOf(body)}.`,
    );
  }
  for (const name in body) if (!MEMBERS.has(name)) throw unknownMember(name);
  const record = body as { user_id?: unknown; value?: unknown; ts?: unknown };
  return {
    userId: parseUserId(record.user_id, limits.keyBytes),
    value: parseValue(record.value, limits.valueBytes),
    ts: parseTs(record.ts, nowMs),
  };
}

/**
 * Reads and checks the record in the bytes of a body, as {@link parseRecord} does.
 * @throws AppError `invalid-json` too
 */
export function readRecord(bytes: Uint8Array, limits: RecordLimits, nowMs: number): Write {
  return parseRecord(readPlainRecord(bytes) ?? parseJson(bytes), limits, nowMs);
}

/**
 * Checks a user id from a body or a query.
 * @throws AppError `missing-user-id` or `invalid-record`
 */
export function parseUserId(userId: unknown, maxBytes: number): string {
  if (userId === undefined || userId === "") {
    throw new AppError("missing-user-id", "user_id is missing or empty.");
  }
  return parseText("user_id", userId, maxBytes);
}

function parseValue(value: unknown, maxBytes: number): string {
  if (value === undefined) {
    throw invalid('"value" is missing. It may be empty (""), but it must be there.');
  }
  return parseText("value", value, maxBytes);
}

function parseText(name: string, text: unknown, maxBytes: number): string {
  if (typeof text !== "string") {
    throw invalid(`${name} must be a string, but it is ${kindOf(text)}.`);
  }
  requirePlainText(name, text);
  const bytes = utf8Length(text);
  if (bytes > maxBytes) {
    throw invalid(`${name} is ${bytes} bytes long; at most ${maxBytes} are allowed.`);
  }
  return text;
}

function parseTs(ts: unknown, nowMs: number): number {
  const nowSeconds = Math.floor(nowMs / 1000);
  if (ts === undefined) return nowSeconds;
  if (typeof ts !== "number") {
    throw invalid(`ts must be a whole number of Unix seconds, but it is ${kindOf(ts)}.`);
  }
  if (!Number.isSafeInteger(ts) || ts < 0) {
    throw invalid(`ts must be a whole number of Unix seconds, 0 or more, but it is ${ts}.`);
  }
  const latest = nowSeconds + MAX_FUTURE_SECONDS;
  if (ts > latest) {
    const hint = ts > latest * 100 ? " It looks like milliseconds." : "";
    throw invalid(`ts ${ts} is more than 24 hours in the future (now is ${nowSeconds}).${hint}`);
  }
  return ts === 0 ? 0 : ts; // -0 is 0
}

function requirePlainText(name: string, text: string): void {
  const nul = text.indexOf("\0");
  if (nul >= 0) {
    throw invalid(`${name} has a NUL character at position ${nul}; PostgreSQL cannot keep one.`);
  }
  if (!text.isWellFormed()) {
    throw invalid(`${name} has half of a surrogate pair in it, which is not a character.`);
  }
}

function unknownMember(name: string): AppError {
  return invalid(
    `Unknown member ${quote(name)}. A record has "user_id", "value" and, if wanted, "ts".`,
  );
}

function invalid(message: string): AppError {
  return new AppError("invalid-record", message);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function quote(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
}
