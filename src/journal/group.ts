/** Collects the records that become durable together, as they will stand in the segment. */
import type { Entry } from "../domain.ts";
import type { Receipt } from "../ports/intake.ts";
import type { AppError } from "../errors.ts";
import { encodeRecord, endGroup, extensionsOf, recordBytesBound } from "./record.ts";

/**
 * A boundary group is what is sent on as one: small enough for one message of a broker, large
 * enough that its flag costs little.
 */
const BOUNDARY_BYTES_MAX = 512 * 1024;
const BOUNDARY_RECORDS_MAX = 1_000;

/**
 * A commit group is one write, one fsync and one promise. Its records are one boundary group or
 * more, the last of which ends with it.
 */
export class Group {
  readonly #durable: Promise<void>;
  /** It is called when the first one waits for this to be durable. */
  #onAwaited: (() => void) | undefined;
  #isAwaited = false;
  readonly receipt: { readonly resolve: () => void; readonly reject: (error: AppError) => void };
  readonly entries: Entry[] = [];
  length = 0;
  /** Each record begins at one of these, counted from the group's beginning. */
  readonly offsets: number[] = [];
  #view: DataView;
  #boundaryAt = 0;
  #boundaryRecords = 0;

  constructor(public bytes: Uint8Array, private readonly salt: number) {
    this.#view = new DataView(bytes.buffer);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Who does not wait for durability need not handle its failure.
    promise.catch(() => {});
    this.#durable = promise;
    this.receipt = { resolve, reject };
  }

  /** Resolves when it is durable. Whoever asks for it waits: then it is not put off any longer. */
  get durable(): Promise<void> {
    if (!this.#isAwaited) {
      this.#isAwaited = true;
      this.#onAwaited?.();
    }
    return this.#durable;
  }

  /** Somebody waits for it. */
  get isAwaited(): boolean {
    return this.#isAwaited;
  }

  /** Calls back when the first one waits for it. */
  whenAwaited(callback: () => void): void {
    this.#onAwaited = callback;
  }

  get first(): Entry {
    return this.entries[0]!;
  }

  get last(): Entry {
    return this.entries.at(-1)!;
  }

  /**
   * Encodes an entry after what is there, without keeping it yet; returns the length of the record.
   */
  encode(entry: Entry): number {
    const extensions = extensionsOf(entry);
    const needed = this.length + recordBytesBound(entry.userId, entry.value, extensions);
    if (needed > this.bytes.length) this.#grow(needed);
    return encodeRecord(this.bytes, this.#view, this.length, entry, this.salt, { extensions });
  }

  keep(entry: Entry, recordBytes: number): void {
    const full = this.#boundaryRecords === BOUNDARY_RECORDS_MAX ||
      this.length + recordBytes - this.#boundaryAt > BOUNDARY_BYTES_MAX;
    if (full && this.#boundaryRecords > 0) this.#endBoundary();
    this.offsets.push(this.length);
    this.length += recordBytes;
    this.#boundaryRecords++;
    this.entries.push(entry);
  }

  /** Ends the group, to which nothing is added any more, and returns what is to be written. */
  finish(): Uint8Array {
    if (this.#boundaryRecords > 0) this.#endBoundary();
    return this.bytes.subarray(0, this.length);
  }

  #endBoundary(): void {
    const lastAt = this.offsets.at(-1)!;
    endGroup(this.bytes, this.#view, lastAt, this.length - lastAt, this.salt);
    this.#boundaryAt = this.length;
    this.#boundaryRecords = 0;
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Is what a push returns. Its group is asked only when its holder asks. */
export class GroupReceipt implements Receipt {
  constructor(readonly entry: Entry, private readonly group: Group) {}

  get durable(): Promise<void> {
    return this.group.durable;
  }
}
