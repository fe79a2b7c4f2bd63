/**
 * Writes the segment that groups are appended to. Ahead of them the file is filled with zeros: to
 * write over what a disk has already takes one call, and half the time of making the file longer.
 * That is done in the background, and only small groups gain by it; a group that does not find room
 * makes the file longer as far as it needs. A start takes the zeros for the end of the segment.
 */
import { isDiskFull, type JournalFile } from "../disk/file_system.ts";
import type { Segment } from "./segment.ts";
import { syncFile } from "./segment_file.ts";

/** The zeros are synced in pieces, as a group's sync takes along what of them is not synced yet. */
const PIECE_BYTES = 256 * 1024;
/** The first zeros are this part of what is written ahead later: the second group waits for them. */
const FIRST_PART = 16;

const zeros = new Uint8Array(PIECE_BYTES);

interface ActiveSegmentOptions {
  /** The file is at most so many bytes longer than what is in it; 0 when it never is. */
  readonly aheadBytes: number;
  /** The file never becomes longer than this by zeros. */
  readonly segmentBytes: number;
}

export class ActiveSegment {
  /** The disk has so many bytes of the file, records and then zeros. */
  #allocated: number;
  #aheadBytes: number;
  #allocating: Promise<void> | undefined;
  /** There was no room for zeros. */
  #isFull = false;
  #failure: unknown;

  constructor(
    readonly segment: Segment,
    private readonly file: JournalFile,
    private readonly options: ActiveSegmentOptions,
  ) {
    this.#allocated = segment.end;
    this.#aheadBytes = Math.ceil(options.aheadBytes / FIRST_PART);
  }

  /**
   * Makes bytes durable behind what is durable; the segment is told by the caller.
   * @throws whatever the disk says; then nobody knows what follows the durable bytes
   */
  async append(bytes: Uint8Array): Promise<void> {
    const { segment, file } = this;
    const end = segment.end + bytes.length;
    // Zeros must not come after records at the same place.
    if (end > this.#allocated) await this.#allocating;
    if (this.#failure !== undefined) throw this.#failure;
    if (end <= this.#allocated) await file.overwrite(bytes, segment.end);
    else {
      await file.writeAt(bytes, segment.end);
      await syncFile(file, segment.name);
      this.#allocated = end;
    }
    const isSmall = bytes.length * FIRST_PART <= this.options.aheadBytes;
    if (isSmall && this.#allocating === undefined) this.#allocate(end);
  }

  /** Says what {@link JournalFile.displaced} does. */
  displaced(): string | undefined {
    return this.file.displaced();
  }

  /** Cuts the file back to its last durable byte, durably. */
  async cut(): Promise<void> {
    await this.#allocating;
    if (this.#failure !== undefined) throw this.#failure;
    await this.file.truncate(this.segment.end);
    await syncFile(this.file, this.segment.name);
    this.file.close();
  }

  /** Gives back what was allocated ahead, and closes the file, to which nothing is added any more. */
  async complete(): Promise<void> {
    await this.#allocating;
    const { segment, file } = this;
    // What is left of the zeros, here or after a crash, is taken for the end all the same.
    if (this.#allocated > segment.end) await file.truncate(segment.end).catch(() => {});
    file.close();
  }

  /** Closes the file as it is: after a failed sync nothing more is asked of it. */
  abandon(): void {
    this.file.close();
  }

  #allocate(end: number): void {
    const { segmentBytes, aheadBytes } = this.options;
    const to = Math.min(end + this.#aheadBytes, segmentBytes);
    if (this.#isFull || this.#allocated - end >= this.#aheadBytes / 2 || to <= this.#allocated) {
      return;
    }
    this.#aheadBytes = Math.min(this.#aheadBytes * 2, aheadBytes);
    this.#allocating = this.#fill(to).catch((error) => {
      this.#failure = error;
    }).finally(() => {
      this.#allocating = undefined;
    });
  }

  async #fill(to: number): Promise<void> {
    const { file, segment } = this;
    try {
      while (this.#allocated < to) {
        const piece = zeros.subarray(0, Math.min(PIECE_BYTES, to - this.#allocated));
        await file.writeAt(piece, this.#allocated);
        await syncFile(file, segment.name);
        this.#allocated += piece.length;
      }
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      // Others need this room more.
      this.#isFull = true;
      await file.truncate(this.#allocated);
    }
  }
}
