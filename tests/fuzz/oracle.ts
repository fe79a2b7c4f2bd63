/**
 * What the public contract says of the body of a write, said again without the code that is tested.
 */

export interface Written {
  readonly userId: string;
  readonly value: string;
  /** Undefined: the time of acceptance. */
  readonly ts?: number;
}

export interface Verdict {
  readonly status: number;
  /**
   * What a 202 must have stored; of a refused body, what it would have been, where that can be
   * told.
   */
  readonly write?: Written;
}

const BODY_BYTES_MAX = 1024 * 1024;
const USER_ID_BYTES_MAX = 512;
const VALUE_BYTES_MAX = 256 * 1024;
const DAY_SECONDS = 24 * 60 * 60;
const encoder = new TextEncoder();

export function judge(body: Uint8Array, nowSeconds: number): Verdict {
  if (body.length > BODY_BYTES_MAX) return { status: 413 };
  let record: unknown;
  try {
    // A byte order mark is passed over, as RFC 8259 allows.
    record = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return { status: 400 };
  }
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    return { status: 400 };
  }
  const members = new Map(Object.entries(record));
  const [userId, value, ts] = ["user_id", "value", "ts"].map((name) => members.get(name));
  const valid = [...members.keys()].every((name) => ["user_id", "value", "ts"].includes(name)) &&
    isText(userId, USER_ID_BYTES_MAX) && userId !== "" && isText(value, VALUE_BYTES_MAX) &&
    isTime(ts, nowSeconds);
  if (valid) {
    return {
      status: 202,
      write: { userId, value, ...(typeof ts === "number" && { ts: Math.abs(ts) }) },
    };
  }
  const wouldBe = isText(userId, USER_ID_BYTES_MAX) && userId !== ""
    ? { write: { userId, value: "" } }
    : {};
  return { status: 400, ...wouldBe };
}

function isText(text: unknown, mostBytes: number): text is string {
  return typeof text === "string" && text.isWellFormed() && !text.includes("\0") &&
    encoder.encode(text).length <= mostBytes;
}

function isTime(ts: unknown, nowSeconds: number): boolean {
  return ts === undefined ||
    (Number.isSafeInteger(ts) && Number(ts) >= 0 && Number(ts) <= nowSeconds + DAY_SECONDS);
}
