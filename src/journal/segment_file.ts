/**
 * Handles segments as files: their names, finding them, making one, and making what is in one
 * durable.
 */
import { join } from "node:path";
import { decodeHeader, encodeHeader, HEADER_BYTES, type SegmentHeader } from "./codec.ts";
import type { JournalFile, JournalFileSystem } from "../disk/file_system.ts";
import { Segment } from "./segment.ts";

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
  readonly size: number;
  /** It is undefined when it cannot be read. */
  readonly header: SegmentHeader | undefined;
}

/** Finds the segments of a journal, in their order. */
export async function findSegments(fs: JournalFileSystem, dir: string): Promise<SegmentFile[]> {
  const names = (await fs.list(dir)).filter((name) => ordinalOf(name) !== undefined).sort();
  const found: SegmentFile[] = [];
  for (const name of names) found.push(await readHeader(fs, dir, name));
  return found;
}

async function readHeader(fs: JournalFileSystem, dir: string, name: string): Promise<SegmentFile> {
  const file = await fs.open(join(dir, name), "read");
  try {
    const bytes = new Uint8Array(HEADER_BYTES);
    await file.readAt(bytes, 0);
    return { name, size: await file.size(), header: decodeHeader(bytes) };
  } finally {
    file.close();
  }
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
