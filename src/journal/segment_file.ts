/** Handles segments as files: their names, making one, and making what is in one durable. */
import { encodeHeader, type SegmentHeader } from "./codec.ts";
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
