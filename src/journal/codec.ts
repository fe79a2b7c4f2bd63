/**
 * The bytes of a segment: a header, then records. Numbers are big-endian; those of the domain are
 * IEEE doubles, exact for every safe integer.
 *
 *     header  magic 8 | version u16 | 0 u16 | salt u32 | instance 12 | run 12 | firstSeq f64 | previousSeq f64
 *             | lastAcceptedMs f64 | crc u32, at offset 0 and again at 4096: one lost sector does not take the segment along
 *     record  crc u32 | length u32 | seq f64 | acceptedMs f64 | ts f64 | flags u8 | userIdLength u16 | userId | value
 *
 * CRC-32C. A record's covers all that follows it and is seeded with the segment's salt: bytes that
 * a client sent, or an old disk block, never pass for a record.
 */
import crc32c from "crc-32/crc32c";
import { type Entry, INSTANCE_ID_LENGTH } from "../domain.ts";
import { AppError } from "../errors.ts";

export interface SegmentHeader {
  readonly instance: string;
  /** Random for every start of the process. */
  readonly run: string;
  readonly salt: number;
  /** The number of the first record. */
  readonly firstSeq: number;
  /**
   * The last durable record before this segment. Numbers between the two were given out but never
   * became durable.
   */
  readonly previousSeq: number;
  /** No entry of this segment was accepted before. Unix milliseconds. */
  readonly lastAcceptedMs: number;
}

const MAGIC = new TextEncoder().encode("dsproxyJ");
const FORMAT_VERSION = 1;
const HEADER_COPY_BYTES = 68;
const SECOND_COPY_AT = 4096;

/** Records begin here. */
export const HEADER_BYTES = SECOND_COPY_AT + HEADER_COPY_BYTES;

const LENGTH_AT = 4;
const BODY_AT = 8;
const TEXT_AT = 35;

/** The smallest record there can be, and the largest that is read back. */
export const MIN_RECORD_BYTES = TEXT_AT;
export const MAX_RECORD_BYTES = 16 * 1024 * 1024;
export const USER_ID_BYTES_MAX = 0xffff;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** CRC-32C as an unsigned number. */
export function checksum(bytes: Uint8Array, seed = 0): number {
  return crc32c.buf(bytes, seed | 0) >>> 0;
}

export function encodeHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC);
  view.setUint16(8, FORMAT_VERSION);
  view.setUint32(12, header.salt);
  encoder.encodeInto(header.instance, bytes.subarray(16, 28));
  encoder.encodeInto(header.run, bytes.subarray(28, 40));
  view.setFloat64(40, header.firstSeq);
  view.setFloat64(48, header.previousSeq);
  view.setFloat64(56, header.lastAcceptedMs);
  view.setUint32(64, checksum(bytes.subarray(0, 64)));
  bytes.copyWithin(SECOND_COPY_AT, 0, HEADER_COPY_BYTES);
  return bytes;
}

/**
 * The header in the first {@link HEADER_BYTES} of a segment; undefined when neither copy is whole.
 * @throws AppError `journal-failed` for a format of another version of this program
 */
export function decodeHeader(bytes: Uint8Array): SegmentHeader | undefined {
  return decodeHeaderCopy(bytes.subarray(0, HEADER_COPY_BYTES)) ??
    decodeHeaderCopy(bytes.subarray(SECOND_COPY_AT, HEADER_BYTES));
}

function decodeHeaderCopy(bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < HEADER_COPY_BYTES || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    return undefined;
  }
  const view = viewOf(bytes);
  if (view.getUint32(64) !== checksum(bytes.subarray(0, 64))) return undefined;
  const version = view.getUint16(8);
  if (version !== FORMAT_VERSION) throw unsupported(`format version ${version}`);
  return {
    instance: decoder.decode(bytes.subarray(16, 16 + INSTANCE_ID_LENGTH)),
    run: decoder.decode(bytes.subarray(28, 40)),
    salt: view.getUint32(12),
    firstSeq: view.getFloat64(40),
    previousSeq: view.getFloat64(48),
    lastAcceptedMs: view.getFloat64(56),
  };
}

function unsupported(what: string): AppError {
  return new AppError(
    "journal-failed",
    `Cannot read the journal: it has ${what}, which this version of dsproxy does not know. Start the version that wrote it.`,
  );
}

/** Room that surely holds a record of this entry: a UTF-16 unit is three bytes of UTF-8 at most. */
export function recordBytesBound(userId: string, value: string): number {
  return TEXT_AT + 3 * (userId.length + value.length);
}

/** Writes a record at `at`, where {@link recordBytesBound} bytes are free; returns its length. */
export function encodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  entry: Entry,
  salt: number,
): number {
  const userIdBytes = encoder.encodeInto(entry.userId, bytes.subarray(at + TEXT_AT)).written;
  const valueBytes =
    encoder.encodeInto(entry.value, bytes.subarray(at + TEXT_AT + userIdBytes)).written;
  const size = TEXT_AT + userIdBytes + valueBytes;
  view.setUint32(at + LENGTH_AT, size - BODY_AT);
  view.setFloat64(at + 8, entry.seq);
  view.setFloat64(at + 16, entry.acceptedMs);
  view.setFloat64(at + 24, entry.ts);
  view.setUint8(at + 32, 0);
  view.setUint16(at + 33, userIdBytes);
  view.setUint32(at, checksum(bytes.subarray(at + LENGTH_AT, at + size), salt));
  return size;
}

/**
 * The length a record at `at` claims; undefined when that cannot be one of a record within
 * `available` bytes.
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

/** The sequence number and acceptance time that a record at `at` claims. */
export function claimedSeq(view: DataView, at: number): number {
  return view.getFloat64(at + 8);
}

export function claimedAcceptedMs(view: DataView, at: number): number {
  return view.getFloat64(at + 16);
}

/**
 * The entry in the `size` bytes at `at`; undefined when they are not a record as it was written.
 * @throws AppError `journal-failed` for flags of another version of this program
 */
export function decodeRecord(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  size: number,
  header: SegmentHeader,
): Entry | undefined {
  if (view.getUint32(at) !== checksum(bytes.subarray(at + LENGTH_AT, at + size), header.salt)) {
    return undefined;
  }
  const flags = view.getUint8(at + 32);
  if (flags !== 0) throw unsupported(`a record with flags ${flags}`);
  const valueAt = at + TEXT_AT + view.getUint16(at + 33);
  return {
    userId: decoder.decode(bytes.subarray(at + TEXT_AT, valueAt)),
    value: decoder.decode(bytes.subarray(valueAt, at + size)),
    ts: view.getFloat64(at + 24),
    acceptedMs: claimedAcceptedMs(view, at),
    run: header.instance,
    seq: claimedSeq(view, at),
  };
}
