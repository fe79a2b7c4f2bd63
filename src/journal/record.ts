/**
 * Encodes and decodes the records of a segment, in both formats.
 *
 *     crc u32 | length u32 | seq f64 | acceptedMs f64 | ts f64 | flags u8 | userIdLength u16
 *     | extensions, when a flag says so | userId | value
 *     extensions: length u32 | of each: type u16, length u32, bytes
 *
 * `length` counts what follows it. CRC-32C covers all that follows it and is seeded with the
 * segment's salt: bytes that a client sent, or an old disk block, never pass for a record.
 *
 * Format 1 has no flags. In format 2 a record can end a boundary group, be a tombstone, and carry
 * extensions. Boundary groups are cut once, here in the bytes, so that whoever sends, sends again
 * or adopts them sends the same intervals of numbers.
 */
import type { Entry } from "../domain.ts";
import { type TraceContext, traceContextBytes, traceContextOf } from "../trace_context.ts";
import { type SegmentHeader, unsupported } from "./codec.ts";
import { crc32c } from "./crc32c.ts";
import { readText, writeText } from "./text.ts";

/**
 * An extension is a field that this version need not know: it is kept, and comes back as it was
 * written.
 */
export interface Extension {
  /** It says what the field means, as a number from 0 to 65535. */
  readonly type: number;
  readonly bytes: Uint8Array;
}

export interface JournalRecord {
  readonly entry: Entry;
  /** It is the last of its boundary group. */
  readonly endsGroup: boolean;
  /** It deletes what the user has; its value is empty. */
  readonly tombstone: boolean;
  readonly extensions: readonly Extension[];
}

const LENGTH_AT = 4;
const BODY_AT = 8;
const SEQ_AT = 8;
const ACCEPTED_MS_AT = 16;
const TS_AT = 24;
const FLAGS_AT = 32;
const USER_ID_LENGTH_AT = 33;
const TEXT_AT = 35;
const EXTENSIONS_LENGTH_BYTES = 4;
const EXTENSION_HEAD_BYTES = 6;

const ENDS_GROUP = 1;
const TOMBSTONE = 2;
const EXTENDED = 4;
const KNOWN_FLAGS = ENDS_GROUP | TOMBSTONE | EXTENDED;

/** No record is smaller than the first, and none that is larger than the second is read back. */
export const MIN_RECORD_BYTES = TEXT_AT;
export const MAX_RECORD_BYTES = 16 * 1024 * 1024;
export const USER_ID_BYTES_MAX = 0xffff;

/** The types of extensions that this version knows. */
const TRACE_CONTEXT = 1;

const NO_EXTENSIONS: readonly Extension[] = [];

/** Returns what a record of this entry carries beside its texts. */
export function extensionsOf({ trace }: Pick<Entry, "trace">): readonly Extension[] {
  return trace === undefined
    ? NO_EXTENSIONS
    : [{ type: TRACE_CONTEXT, bytes: traceContextBytes(trace) }];
}

function traceIn(extensions: readonly Extension[]): TraceContext | undefined {
  const found = extensions.find(({ type }) => type === TRACE_CONTEXT);
  return found && traceContextOf(found.bytes);
}

/**
 * Returns room that surely holds a record of this entry: a UTF-16 unit is three bytes of UTF-8 at
 * most.
 */
export function recordBytesBound(
  userId: string,
  value: string,
  extensions: readonly Extension[] = NO_EXTENSIONS,
): number {
  return TEXT_AT + extensionsBytes(extensions) + 3 * (userId.length + value.length);
}

function extensionsBytes(extensions: readonly Extension[]): number {
  if (extensions.length === 0) return 0;
  const fields = extensions.reduce(
    (sum, { bytes }) => sum + EXTENSION_HEAD_BYTES + bytes.length,
    0,
  );
  return EXTENSIONS_LENGTH_BYTES + fields;
}

/**
 * Writes a record of format 2 at `at`, where {@link recordBytesBound} bytes are free; returns its
 * length. {@link endGroup} makes it the last of its boundary group.
 */
export function encodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  entry: Entry,
  salt: number,
  { tombstone = false, extensions = NO_EXTENSIONS }: Partial<JournalRecord> = {},
): number {
  const userIdAt = at + TEXT_AT + extensionsBytes(extensions);
  const userIdBytes = writeText(entry.userId, bytes, userIdAt);
  const valueBytes = writeText(entry.value, bytes, userIdAt + userIdBytes);
  const size = userIdAt + userIdBytes + valueBytes - at;
  view.setUint32(at + LENGTH_AT, size - BODY_AT);
  view.setFloat64(at + SEQ_AT, entry.seq);
  view.setFloat64(at + ACCEPTED_MS_AT, entry.acceptedMs);
  view.setFloat64(at + TS_AT, entry.ts);
  view.setUint8(
    at + FLAGS_AT,
    (tombstone ? TOMBSTONE : 0) | (extensions.length > 0 ? EXTENDED : 0),
  );
  view.setUint16(at + USER_ID_LENGTH_AT, userIdBytes);
  if (extensions.length > 0) writeExtensions(bytes, view, at + TEXT_AT, extensions);
  sign(bytes, view, at, size, salt);
  return size;
}

function writeExtensions(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  extensions: readonly Extension[],
): void {
  view.setUint32(at, extensionsBytes(extensions) - EXTENSIONS_LENGTH_BYTES);
  let fieldAt = at + EXTENSIONS_LENGTH_BYTES;
  for (const extension of extensions) {
    view.setUint16(fieldAt, extension.type);
    view.setUint32(fieldAt + 2, extension.bytes.length);
    bytes.set(extension.bytes, fieldAt + EXTENSION_HEAD_BYTES);
    fieldAt += EXTENSION_HEAD_BYTES + extension.bytes.length;
  }
}

/** Makes the record in the `size` bytes at `at` the last of its boundary group. */
export function endGroup(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  size: number,
  salt: number,
): void {
  view.setUint8(at + FLAGS_AT, view.getUint8(at + FLAGS_AT) | ENDS_GROUP);
  sign(bytes, view, at, size, salt);
}

function sign(bytes: Uint8Array, view: DataView, at: number, size: number, salt: number): void {
  view.setUint32(at, crc32c(bytes, at + LENGTH_AT, at + size, salt));
}

/**
 * Returns the length that a record at `at` claims; undefined when that cannot be one of a record
 * within `available` bytes.
 */
export function claimedRecordBytes(
  view: DataView,
  at: number,
  available: number,
): number | undefined {
  if (available < MIN_RECORD_BYTES) return undefined;
  const size = BODY_AT + view.getUint32(at + LENGTH_AT);
  return size < MIN_RECORD_BYTES || size > available || size > MAX_RECORD_BYTES ? undefined : size;
}

/** Returns the number that a record at `at` claims. */
export function claimedSeq(view: DataView, at: number): number {
  return view.getFloat64(at + SEQ_AT);
}

/**
 * Reads the record in the `size` bytes at `at`; returns undefined when they are not a record as it
 * was written.
 * @throws AppError `journal-failed` for flags that only a later version of this program knows
 */
export function decodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  size: number,
  header: SegmentHeader,
): JournalRecord | undefined {
  if (view.getUint32(at) !== crc32c(bytes, at + LENGTH_AT, at + size, header.salt)) {
    return undefined;
  }
  const flags = view.getUint8(at + FLAGS_AT);
  if ((header.format === 1 ? flags : flags & ~KNOWN_FLAGS) !== 0) {
    throw unsupported(`a record with flags ${flags}`);
  }
  let extensions = NO_EXTENSIONS;
  let userIdAt = at + TEXT_AT;
  if ((flags & EXTENDED) !== 0) {
    const extended = readExtensions(bytes, view, at + TEXT_AT, at + size);
    if (extended === undefined) return undefined;
    extensions = extended.extensions;
    userIdAt = extended.end;
  }
  const valueAt = userIdAt + view.getUint16(at + USER_ID_LENGTH_AT);
  const entry = {
    userId: readText(bytes, userIdAt, valueAt),
    value: readText(bytes, valueAt, at + size),
    ts: view.getFloat64(at + TS_AT),
    acceptedMs: view.getFloat64(at + ACCEPTED_MS_AT),
    run: header.format === 1 ? header.instance : header.run,
    seq: claimedSeq(view, at),
  };
  const trace = extensions === NO_EXTENSIONS ? undefined : traceIn(extensions);
  return {
    entry: trace === undefined ? entry : { ...entry, trace },
    endsGroup: (flags & ENDS_GROUP) !== 0,
    tombstone: (flags & TOMBSTONE) !== 0,
    extensions,
  };
}

/**
 * Reads the extensions of a record; returns undefined when their lengths do not fit into one
 * another.
 */
function readExtensions(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  recordEnd: number,
): { readonly extensions: readonly Extension[]; readonly end: number } | undefined {
  if (at + EXTENSIONS_LENGTH_BYTES > recordEnd) return undefined;
  const end = at + EXTENSIONS_LENGTH_BYTES + view.getUint32(at);
  if (end > recordEnd) return undefined;
  const extensions: Extension[] = [];
  let fieldAt = at + EXTENSIONS_LENGTH_BYTES;
  while (fieldAt < end) {
    if (fieldAt + EXTENSION_HEAD_BYTES > end) return undefined;
    const bytesAt = fieldAt + EXTENSION_HEAD_BYTES;
    const bytesEnd = bytesAt + view.getUint32(fieldAt + 2);
    if (bytesEnd > end) return undefined;
    extensions.push({ type: view.getUint16(fieldAt), bytes: bytes.slice(bytesAt, bytesEnd) });
    fieldAt = bytesEnd;
  }
  return { extensions, end };
}
