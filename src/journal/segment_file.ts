/**
 * Handles segments as files: their names, finding them, making one, and making what is in one
 * durable.
 */
import { join } from "node:path";
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  recordsBeginAt,
  type SegmentHeader,
} from "./codec.ts";
import type { JournalFile, JournalFileSystem } from "../disk/file_system.ts";
import { MIN_RECORD_BYTES } from "./record.ts";
import { Segment } from "./segment.ts";

/** Most segments end with a record, which the first look at the end of the file tells. */
const LAST_BYTES = 64;
const PIECE_BYTES = 256 * 1024;

const NAME = /^([0-9]{16})\.seg$/;

/**
 * Names a segment so that the order of the names is that of the segments. Format 1 named it by its
 * first number; format 2 counts on from the highest name there is.
 */
function segmentName(ordinal: number): string {
  return `${String(ordinal).padStart(16, "0")}.seg`;
}

/** Returns the number in the file's name; undefined when it is not the name of a segment. */
export function ordinalOf(name: string): number | undefined {
  const match = NAME.exec(name);
  return match ? Number(match[1]) : undefined;
}

export interface SegmentFile {
  readonly name: string;
  /** It is without the zeros that the file was filled ahead with. */
  readonly size: number;
  /** It is undefined when it cannot be read. */
  readonly header: SegmentHeader | undefined;
}

/** Finds the segments of a journal, in their order. */
export async function findSegments(fs: JournalFileSystem, dir: string): Promise<SegmentFile[]> {
  const names = (await fs.list(dir)).filter((name) => ordinalOf(name) !== undefined).sort();
  const found: SegmentFile[] = [];
  for (const name of names) found.push(await readHeader(fs, dir, name, name === names.at(-1)));
  return found;
}

async function readHeader(
  fs: JournalFileSystem,
  dir: string,
  name: string,
  isLast: boolean,
): Promise<SegmentFile> {
  const file = await fs.open(join(dir, name), "read");
  try {
    const bytes = new Uint8Array(HEADER_BYTES);
    await file.readAt(bytes, 0);
    const header = decodeHeader(bytes);
    const size = await file.size();
    if (header === undefined) return { name, size, header };
    const written = await writtenEnd(file, recordsBeginAt(header.format), size);
    // Fewer zeros may be those of a record whose end a crash took, which is to be reported.
    const isFilled = !isLast || size - written >= MIN_RECORD_BYTES;
    return { name, size: isFilled ? written : size, header };
  } finally {
    file.close();
  }
}

/**
 * Returns where the zeros begin that fill a file up to `size`. They are no part of a record, as none
 * ends with a zero: there is always a user id, and no NUL in any text.
 */
async function writtenEnd(file: JournalFile, from: number, size: number): Promise<number> {
  let piece = new Uint8Array(LAST_BYTES);
  for (let to = size; to > from;) {
    const bytes = piece.subarray(0, Math.min(piece.length, to - from));
    await file.readAt(bytes, to - bytes.length);
    to -= bytes.length;
    for (let at = bytes.length - 1; at >= 0; at--) if (bytes[at] !== 0) return to + at + 1;
    piece = new Uint8Array(PIECE_BYTES);
  }
  return Math.min(from, size);
}

/**
 * Makes a new, durable segment without records, and returns it held, with the handle to write its
 * records. A full disk leaves nothing behind.
 */
export async function createSegment(
  fs: JournalFileSystem,
  dir: string,
  ordinal: number,
  header: SegmentHeader,
): Promise<{ segment: Segment; file: JournalFile }> {
  const segment = new Segment(fs, dir, segmentName(ordinal), header);
  const file = await fs.create(segment.path);
  try {
    await writeHeader(fs, segment, file);
    await syncFile(file, segment.name);
    await fs.syncDirectory(dir);
    await segment.hold();
  } catch (error) {
    file.close();
    throw error;
  }
  return { segment, file };
}

async function writeHeader(
  fs: JournalFileSystem,
  segment: Segment,
  file: JournalFile,
): Promise<void> {
  try {
    await file.writeAt(encodeHeader(segment.header), 0);
  } catch (error) {
    await fs.remove(segment.path);
    throw error;
  }
}

/**
 * Syncs a file. An error of fsync, whatever it says, is not one of a write: after it the state of
 * the file is unknown.
 */
export async function syncFile(file: JournalFile, name: string): Promise<void> {
  try {
    await file.sync();
  } catch (cause) {
    throw new Error(`fsync of ${name} failed: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}
