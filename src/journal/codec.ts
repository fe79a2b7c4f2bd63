/**
 * Encodes and decodes the header of a segment, in both formats. Numbers are big-endian; those of
 * the domain are IEEE doubles, exact for every safe integer. The records that follow it are
 * described in `record.ts`.
 *
 *     magic 8 | format u16 | 0 u16 | salt u32 | instance 12 | run 12 | firstSeq f64
 *     | previousSeq f64 | lastAcceptedMs f64 | crc u32
 *     format 2 goes on with: previousRun 12 | crc u32
 *
 * It stands at offset 0 and again at 4096: one lost sector does not take the segment along. The
 * first checksum stands where format 1 has it, so that a program that knows only format 1 reads
 * the number of the format and refuses it, instead of taking the segment for a damaged one.
 */
import { INSTANCE_ID_LENGTH } from "../domain.ts";
import { AppError } from "../errors.ts";
import { crc32c } from "./crc32c.ts";

/**
 * In format 1 numbers go on over all runs of an instance, and write ids name the instance. In
 * format 2 they begin with 1 in every run, and write ids name the run.
 */
export type Format = 1 | 2;

export interface SegmentHeader {
  readonly format: Format;
  readonly instance: string;
  /** It is random for every start of the process. */
  readonly run: string;
  readonly salt: number;
  /** It is the number of the first record. */
  readonly firstSeq: number;
  /**
   * The last durable record before this segment is number `previousSeq` of `previousRun`; 0 and
   * empty when there was none. Of format 1 the run is the instance. Numbers of one run between that
   * record and `firstSeq` were given out but never became durable.
   */
  readonly previousRun: string;
  readonly previousSeq: number;
  /** No entry of this segment was accepted before this time, in Unix milliseconds. */
  readonly lastAcceptedMs: number;
}

const MAGIC = new TextEncoder().encode("dsproxyJ");
const FORMAT_AT = 8;
const SALT_AT = 12;
const INSTANCE_AT = 16;
const RUN_AT = 28;
const NUMBERS_AT = 40;
const CRC_AT = 64;
const PREVIOUS_RUN_AT = 68;
const CRC_2_AT = PREVIOUS_RUN_AT + INSTANCE_ID_LENGTH;
const COPY_BYTES: Readonly<Record<Format, number>> = { 1: CRC_AT + 4, 2: CRC_2_AT + 4 };
const SECOND_COPY_AT = 4096;

/** Records of a segment that is written now begin here. */
export const HEADER_BYTES = SECOND_COPY_AT + COPY_BYTES[2];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Returns the CRC-32C as an unsigned number. */
export function checksum(bytes: Uint8Array, seed = 0): number {
  return crc32c(bytes, 0, bytes.length, seed);
}

/** Returns where the first record of a segment begins. */
export function recordsBeginAt(format: Format): number {
  return SECOND_COPY_AT + COPY_BYTES[format];
}

export function encodeHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(recordsBeginAt(header.format));
  const view = viewOf(bytes);
  bytes.set(MAGIC);
  view.setUint16(FORMAT_AT, header.format);
  view.setUint32(SALT_AT, header.salt);
  bytes.set(encoder.encode(header.instance), INSTANCE_AT);
  bytes.set(encoder.encode(header.run), RUN_AT);
  view.setFloat64(NUMBERS_AT, header.firstSeq);
  view.setFloat64(NUMBERS_AT + 8, header.previousSeq);
  view.setFloat64(NUMBERS_AT + 16, header.lastAcceptedMs);
  view.setUint32(CRC_AT, checksum(bytes.subarray(0, CRC_AT)));
  if (header.format === 2) {
    bytes.set(encoder.encode(header.previousRun), PREVIOUS_RUN_AT);
    view.setUint32(CRC_2_AT, checksum(bytes.subarray(0, CRC_2_AT)));
  }
  bytes.copyWithin(SECOND_COPY_AT, 0, COPY_BYTES[header.format]);
  return bytes;
}

/**
 * Reads the header from the first {@link HEADER_BYTES} of a segment, or fewer of one that is
 * shorter; returns undefined when neither copy is whole.
 * @throws AppError `journal-failed` for a format that only a later version of this program knows
 */
export function decodeHeader(bytes: Uint8Array): SegmentHeader | undefined {
  return decodeCopy(bytes) ?? decodeCopy(bytes.subarray(SECOND_COPY_AT));
}

function decodeCopy(bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < COPY_BYTES[1] || MAGIC.some((byte, i) => bytes[i] !== byte)) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(CRC_AT) !== checksum(bytes.subarray(0, CRC_AT))) return undefined;
  const format = view.getUint16(FORMAT_AT);
  if (format !== 1 && format !== 2) throw unsupported(`format version ${format}`);
  if (format === 2 && !isWholeFormat2(bytes, view)) return undefined;
  const instance = textAt(bytes, INSTANCE_AT);
  const previousSeq = view.getFloat64(NUMBERS_AT + 8);
  return {
    format,
    instance,
    run: textAt(bytes, RUN_AT),
    salt: view.getUint32(SALT_AT),
    firstSeq: view.getFloat64(NUMBERS_AT),
    previousRun: format === 2 ? textAt(bytes, PREVIOUS_RUN_AT) : previousSeq > 0 ? instance : "",
    previousSeq,
    lastAcceptedMs: view.getFloat64(NUMBERS_AT + 16),
  };
}

function isWholeFormat2(bytes: Uint8Array, view: DataView): boolean {
  return bytes.length >= COPY_BYTES[2] &&
    view.getUint32(CRC_2_AT) === checksum(bytes.subarray(0, CRC_2_AT));
}

/** Returns the text of twelve characters at `at`; it is empty when there is none. */
function textAt(bytes: Uint8Array, at: number): string {
  return decoder.decode(bytes.subarray(at, at + INSTANCE_ID_LENGTH)).replaceAll("\0", "");
}

/**
 * Returns what a journal says that holds `what`, which only a later version of the program writes.
 */
export function unsupported(what: string): AppError {
  return new AppError(
    "journal-failed",
    `Cannot read the journal: it has ${what}, which this version of dsproxy does not know. ` +
      "Start the version that wrote it.",
  );
}
