/**
 * One segment file: what is known of its durable part, and reading from it. Writing is the group
 * commit's.
 */
import { join } from "node:path";
import { encodeHeader, HEADER_BYTES, type SegmentHeader } from "./codec.ts";
import type { JournalFile, JournalFileSystem } from "../disk/file_system.ts";
import { type Damage, readStretch, type Stretch, type StretchRequest } from "./scan.ts";

/** Where one record is. */
export interface Mark {
  readonly seq: number;
  readonly offset: number;
  readonly acceptedMs: number;
}

/**
 * A mark is set at the latest after this many records, bytes, and milliseconds: an index small in
 * memory, short to search from.
 */
const MARK_RECORDS = 64;
const MARK_BYTES = 256 * 1024;
const MARK_MS = 1000;

export class Segment {
  /** Durable bytes, the header among them. */
  end = HEADER_BYTES;
  /** The last durable record, or a number before `firstSeq` when there is none. */
  lastSeq: number;
  readonly #marks: Mark[] = [];
  readonly #damage = new Map<number, Damage>();
  #handle: Promise<JournalFile> | undefined;
  #held: JournalFile | undefined;
  #removed = false;

  constructor(
    private readonly fs: JournalFileSystem,
    private readonly dir: string,
    readonly name: string,
    readonly header: SegmentHeader,
  ) {
    this.lastSeq = header.firstSeq - 1;
  }

  /** Names one run of the process: within it a sequence number is never given out twice. */
  get source(): string {
    return `${this.header.instance}/${this.header.run}`;
  }

  get path(): string {
    return join(this.dir, this.name);
  }

  get removed(): boolean {
    return this.#removed;
  }

  /** To be told of every record to be found again, in order. */
  index(seq: number, offset: number, acceptedMs: number): void {
    const last = this.#marks.at(-1);
    const near = last !== undefined && seq - last.seq < MARK_RECORDS &&
      offset - last.offset < MARK_BYTES &&
      acceptedMs - last.acceptedMs < MARK_MS;
    if (!near) this.#marks.push({ seq, offset, acceptedMs });
  }

  /** The last mark at or before `seq`; the first mark when all come later. */
  markFor(seq: number): Mark | undefined {
    return this.#marks[this.#markIndex(seq)];
  }

  /** The bytes in which record `seq` must be, and the number of the record they begin with. */
  rangeOf(seq: number): { from: number; end: number; expectedSeq: number } | undefined {
    const i = this.#markIndex(seq);
    const mark = this.#marks[i];
    return mark &&
      { from: mark.offset, end: this.#marks[i + 1]?.offset ?? this.end, expectedSeq: mark.seq };
  }

  knowsDamageAt(offset: number): boolean {
    return this.#damage.has(offset);
  }

  /** Remembers a damaged stretch, so that it is measured and reported once. */
  noteDamage(damage: Damage): void {
    this.#damage.set(damage.from, damage);
  }

  async read(request: StretchRequest): Promise<Stretch> {
    const known = this.#damage.get(request.from);
    if (known !== undefined) return { records: [], offsets: [], damage: known, next: known.to };
    return await readStretch(await this.#open(), this.header, request);
  }

  async readBytes(from: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    const file = await this.#open();
    return bytes.subarray(0, await file.readAt(bytes, from));
  }

  /** Opens the file for reading, so that its records can be read even when its name is gone. */
  async hold(): Promise<void> {
    this.#held = await this.#open();
  }

  /** As {@link JournalFile.displaced}; undefined, too, when it is not held. */
  displaced(): string | undefined {
    return this.#held?.displaced();
  }

  /** Closes the handle for reading; the next read opens it again. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = this.#held = undefined;
    (await handle?.catch(() => undefined))?.close();
  }

  async remove(): Promise<void> {
    this.#removed = true;
    await this.close();
    try {
      await this.fs.remove(this.path);
    } catch (error) {
      // Somebody else was quicker.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  #markIndex(seq: number): number {
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#marks[middle]!.seq <= seq) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  #open(): Promise<JournalFile> {
    if (this.#removed) throw new Error(`Cannot read segment ${this.name}: it is removed`);
    this.#handle ??= this.fs.open(this.path, "read").catch((error) => {
      this.#handle = undefined;
      throw error;
    });
    return this.#handle;
  }
}

const NAME = /^([0-9]{16})\.seg$/;

function segmentName(firstSeq: number): string {
  return `${String(firstSeq).padStart(16, "0")}.seg`;
}

/** The first sequence number by the file's name; undefined when it is not the name of a segment. */
export function firstSeqOf(name: string): number | undefined {
  const match = NAME.exec(name);
  return match ? Number(match[1]) : undefined;
}

/**
 * A new, durable segment without records, held, and the handle to write them. A full disk leaves
 * nothing behind.
 */
export async function createSegment(
  fs: JournalFileSystem,
  dir: string,
  header: SegmentHeader,
): Promise<{ segment: Segment; file: JournalFile }> {
  const segment = new Segment(fs, dir, segmentName(header.firstSeq), header);
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
 * An error of fsync, whatever it says, is not one of a write: after it the state of the file is
 * unknown.
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
