/**
 * Reads a plain record in one pass over the bytes of a body: an object of `user_id`, `value` and
 * `ts` in ASCII, without escapes, as most clients send it. Decoding the bytes as UTF-8 and parsing
 * the text takes several times as long. Whatever is not plain is left to the JSON parser, which
 * also knows what to say of it.
 */

/** Its members are as `JSON.parse` would give them. */
export interface PlainRecord {
  user_id?: string;
  value?: string;
  ts?: number;
}

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const TILDE = 0x7e;

/** A whole number of so many digits is exact. */
const MAX_DIGITS = 15;
/** A longer text is decoded faster by the platform. */
const SHORT_BYTES = 96;

const ascii = new TextDecoder("utf-8", { ignoreBOM: true });

/** Returns undefined for all that is not plain, be it JSON or not. */
export function readPlainRecord(bytes: Uint8Array): PlainRecord | undefined {
  if (bytes[0] !== OPEN) return undefined;
  const record: PlainRecord = {};
  let at = 1;
  for (;;) {
    const nameAt = past(bytes, at, QUOTE);
    const nameEnd = textEnd(bytes, nameAt);
    const valueAt = past(bytes, nameEnd + 1, COLON);
    const end = readMember(bytes, nameAt, nameEnd, skipSpaces(bytes, valueAt), record);
    if (end === undefined) return undefined;
    at = skipSpaces(bytes, end);
    const next = bytes[at++];
    if (next === COMMA) continue;
    return next === CLOSE && at === bytes.length ? record : undefined;
  }
}

/** Returns where the member ends; undefined when it is not plain. */
function readMember(
  bytes: Uint8Array,
  nameAt: number,
  nameEnd: number,
  at: number,
  record: PlainRecord,
): number | undefined {
  if (isName(bytes, nameAt, nameEnd, TS)) return readTs(bytes, at, record);
  const from = past(bytes, at, QUOTE);
  const end = textEnd(bytes, from);
  if (end < 0) return undefined;
  if (isName(bytes, nameAt, nameEnd, USER_ID)) record.user_id = textOf(bytes, from, end);
  else if (isName(bytes, nameAt, nameEnd, VALUE)) record.value = textOf(bytes, from, end);
  else return undefined;
  return end + 1;
}

function readTs(bytes: Uint8Array, from: number, record: PlainRecord): number | undefined {
  let at = from;
  let ts = 0;
  for (let digit; (digit = bytes[at]!) >= ZERO && digit <= NINE; at++) ts = ts * 10 + digit - ZERO;
  const digits = at - from;
  if (digits === 0 || digits > MAX_DIGITS || (digits > 1 && bytes[from] === ZERO)) return undefined;
  record.ts = ts;
  return at;
}

const encoder = new TextEncoder();
const USER_ID = encoder.encode("user_id");
const VALUE = encoder.encode("value");
const TS = encoder.encode("ts");

function isName(bytes: Uint8Array, from: number, end: number, name: Uint8Array): boolean {
  if (end - from !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return false;
  return true;
}

function skipSpaces(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at] === SPACE) at++;
  return at;
}

/**
 * Returns what follows `expected` and the spaces before it; past the end when that is not there,
 * where nothing is found any more.
 */
function past(bytes: Uint8Array, from: number, expected: number): number {
  const at = skipSpaces(bytes, from);
  return bytes[at] === expected ? at + 1 : bytes.length;
}

/** Returns where a text ends, at its quote; -1 when it has anything but plain characters. */
function textEnd(bytes: Uint8Array, from: number): number {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) return at;
    if (byte < SPACE || byte > TILDE || byte === BACKSLASH) return -1;
  }
  return -1;
}

function textOf(bytes: Uint8Array, from: number, end: number): string {
  const text = bytes.subarray(from, end);
  return text.length > SHORT_BYTES
    ? ascii.decode(text)
    : String.fromCharCode.apply(null, text as unknown as number[]);
}
