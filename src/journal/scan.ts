/**
 * Reads records out of a stretch of a segment, checks each, and finds the way back to a valid one
 * after damage.
 */
import type { Entry } from "../domain.ts";
import { AppError } from "../errors.ts";
import type { SegmentHeader } from "./codec.ts";
import {
  claimedRecordBytes,
  claimedSeq,
  decodeRecord,
  MAX_RECORD_BYTES,
  MIN_RECORD_BYTES,
} from "./record.ts";
import type { JournalFile } from "../disk/file_system.ts";

/** The bytes from `from` to `to` are not what was written. */
export interface Damage {
  readonly from: number;
  readonly to: number;
  /**
   * The first was due at `from`, the second is that of the record at `to`; it is undefined when no
   * valid record follows.
   */
  readonly expectedSeq: number;
  readonly nextSeq: number | undefined;
}

export interface Stretch {
  readonly records: Entry[];
  /** Each of the records begins at one of these. */
  readonly offsets: number[];
  /** The records at these indices are the last ones of their boundary groups. */
  readonly groupEnds: number[];
  /** It follows the records, when what is there is damaged. */
  readonly damage: Damage | undefined;
  /** Reading goes on here, past the damage. */
  readonly next: number;
}

export interface StretchRequest {
  readonly from: number;
  /** Durable bytes end here. */
  readonly end: number;
  /** The record at `from` must have this number. */
  readonly expectedSeq: number;
  readonly maxRecords?: number;
}

/**
 * One read has so many bytes: thousands of small records, and little beside the memory of a batch.
 */
const CHUNK_BYTES = 256 * 1024;

/**
 * Reads up to about 1 MiB of records, in one read unless a record is larger. It ends early at
 * damage.
 * @throws AppError `journal-failed` for what only a later version can have written
 */
export async function readStretch(
  file: JournalFile,
  name: string,
  header: SegmentHeader,
  request: StretchRequest,
): Promise<Stretch> {
  const { from, end, expectedSeq, maxRecords = Infinity } = request;
  const records: Entry[] = [];
  const offsets: number[] = [];
  const groupEnds: number[] = [];
  let chunk = await readRange(file, from, Math.min(CHUNK_BYTES, end - from));
  let at = 0;
  while (from + at < end && records.length < maxRecords) {
    if (at > 0 && chunk.bytes.length - at < MIN_RECORD_BYTES && from + chunk.bytes.length < end) {
      break;
    }
    const size = claimedRecordBytes(chunk.view, at, end - from - at);
    if (size !== undefined && at + size > chunk.bytes.length) {
      if (at > 0) break;
      chunk = await readRange(file, from, size);
    }
    const record = size === undefined
      ? undefined
      : decodeRecord(chunk.bytes, chunk.view, at, size, header);
    if (size === undefined || record?.entry.seq !== expectedSeq + records.length) {
      const damage = await measureDamage(
        file,
        header,
        from + at,
        end,
        expectedSeq + records.length,
      );
      return { records, offsets, groupEnds, damage, next: damage.to };
    }
    if (record.tombstone) throw tombstoneError(name, record.entry);
    if (record.endsGroup) groupEnds.push(records.length);
    records.push(record.entry);
    offsets.push(from + at);
    at += size;
  }
  return { records, offsets, groupEnds, damage: undefined, next: from + at };
}

interface Chunk {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

async function readRange(file: JournalFile, from: number, length: number): Promise<Chunk> {
  const bytes = new Uint8Array(length);
  const count = await file.readAt(bytes, from);
  if (count < length) {
    throw new Error(`Cannot read ${length} bytes at ${from} of a segment: it ends after ${count}`);
  }
  return { bytes, view: new DataView(bytes.buffer) };
}

/**
 * Looks for the next valid record, byte by byte; length and sequence number are checked first, so
 * that few need a CRC.
 */
async function measureDamage(
  file: JournalFile,
  header: SegmentHeader,
  from: number,
  end: number,
  expectedSeq: number,
): Promise<Damage> {
  for (let base = from + 1; end - base >= MIN_RECORD_BYTES; base += CHUNK_BYTES) {
    // Chunks overlap by a record's head, so that one across a border is seen.
    const { view } = await readRange(
      file,
      base,
      Math.min(CHUNK_BYTES + MIN_RECORD_BYTES - 1, end - base),
    );
    for (let at = 0; at + MIN_RECORD_BYTES <= view.byteLength; at++) {
      const size = claimedRecordBytes(view, at, Math.min(end - base - at, MAX_RECORD_BYTES));
      if (size === undefined) continue;
      const lost = claimedSeq(view, at) - expectedSeq;
      // What was lost must have fitted into the bytes passed over; this also refuses records left
      // over from older times.
      if (!Number.isInteger(lost) || lost < 1 || lost * MIN_RECORD_BYTES > base + at - from) {
        continue;
      }
      const candidate = await readRange(file, base + at, size);
      const record = decodeRecord(candidate.bytes, candidate.view, 0, size, header);
      if (record === undefined) continue;
      return { from, to: base + at, expectedSeq, nextSeq: record.entry.seq };
    }
  }
  return { from, to: end, expectedSeq, nextSeq: undefined };
}

/** Returns the refusal to read on: to pass over a deletion would bring back what was deleted. */
function tombstoneError(name: string, { run, seq }: Entry): AppError {
  return new AppError(
    "journal-failed",
    `Cannot read the journal: a later version deleted a user's value (write ${run}-${seq} in ` +
      `${name}), and this version of dsproxy cannot delete. Start the version that wrote it.`,
  );
}
