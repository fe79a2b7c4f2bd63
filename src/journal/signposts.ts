/**
 * Is the sparse index of a segment: every so often it says where a record is. It lies in one typed
 * array, 24 bytes a signpost.
 */

/** One record is here. */
export interface RecordLocation {
  readonly seq: number;
  readonly offset: number;
  readonly acceptedMs: number;
}

/**
 * A signpost is set at the latest after so many records, bytes, and milliseconds: this keeps the
 * index small in memory, and short to search from.
 */
const SIGNPOST_RECORDS = 64;
const SIGNPOST_BYTES = 256 * 1024;
const SIGNPOST_MS = 1000;

const NUMBERS = 3;
const FIRST_SIGNPOSTS = 16;

export class Signposts {
  #numbers = new Float64Array(0);
  #count = 0;
  /** They are those of the last one. */
  #lastSeq = -Infinity;
  #lastOffset = -Infinity;
  #lastAcceptedMs = -Infinity;

  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.#count = 0;
    this.#lastSeq = this.#lastOffset = this.#lastAcceptedMs = -Infinity;
  }

  /** Is told of a record, and sets a signpost there when the last one is far enough away. */
  pass(seq: number, offset: number, acceptedMs: number): void {
    const near = seq - this.#lastSeq < SIGNPOST_RECORDS &&
      offset - this.#lastOffset < SIGNPOST_BYTES &&
      acceptedMs - this.#lastAcceptedMs < SIGNPOST_MS;
    if (near) return;
    let at = this.#count * NUMBERS;
    if (at === this.#numbers.length) {
      const grown = new Float64Array(Math.max(FIRST_SIGNPOSTS * NUMBERS, at * 2));
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers[at++] = this.#lastSeq = seq;
    this.#numbers[at++] = this.#lastOffset = offset;
    this.#numbers[at] = this.#lastAcceptedMs = acceptedMs;
    this.#count++;
  }

  at(index: number): RecordLocation | undefined {
    if (index >= this.#count) return undefined;
    const at = index * NUMBERS;
    return {
      seq: this.#numbers[at]!,
      offset: this.#numbers[at + 1]!,
      acceptedMs: this.#numbers[at + 2]!,
    };
  }

  /** Returns the index of the last one at or before `seq`; 0 when all come later. */
  indexFor(seq: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#numbers[middle * NUMBERS]! <= seq) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}
