/**
 * Is one segment file, and the one owner of what is known of it: where its durable bytes end, its
 * last number, where its records are, and what of it is damaged. Its bytes are written by the group
 * commit alone.
 */
import { join } from "node:path";
import type { Entry } from "../domain.ts";
import { recordsBeginAt, type SegmentHeader } from "./codec.ts";
import type { JournalFile, JournalFileSystem } from "../disk/file_system.ts";
import type { Group } from "./group.ts";
import { type Damage, readStretch, type Stretch, type StretchRequest } from "./scan.ts";
import { type RecordLocation, Signposts } from "./signposts.ts";

/** A scan tells these, in order. */
interface ScanListener {
  entry(entry: Entry): void;
  /**
   * Is told of a damaged stretch.
   * @returns the last number that is lost by it; `torn` when the segment ends where the damage
   *   begins, because nothing durable was there
   */
  damage(damage: Damage): number | "torn";
}

export class Segment {
  #end: number;
  #lastSeq: number;
  /** All is damaged from this number to the end. */
  #damagedFrom = Infinity;
  #indexed = true;
  readonly #signposts = new Signposts();
  readonly #damage = new Map<number, Damage>();
  #handle: Promise<JournalFile> | undefined;
  #held: JournalFile | undefined;
  #removed = false;

  /** @param end where its durable bytes end, as far as that is known before they are read */
  constructor(
    private readonly fs: JournalFileSystem,
    private readonly dir: string,
    readonly name: string,
    readonly header: SegmentHeader,
    end = recordsBeginAt(header.format),
  ) {
    this.#end = end;
    this.#lastSeq = header.firstSeq - 1;
  }

  /** It is the key of the store's mark: within it a number is never given out twice. */
  get source(): string {
    const { format, instance, run } = this.header;
    return format === 1 ? `${instance}/${run}` : run;
  }

  /** The write ids of its records begin with this. */
  get run(): string {
    return this.header.format === 1 ? this.header.instance : this.header.run;
  }

  get path(): string {
    return join(this.dir, this.name);
  }

  /** Its durable bytes end here, the header among them. */
  get end(): number {
    return this.#end;
  }

  /**
   * It is the last durable record, or a number before the header's `firstSeq` when there is none.
   */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** It is the last record that can be read: those after it are damaged. */
  get readableThrough(): number {
    return Math.min(this.#lastSeq, this.#damagedFrom - 1);
  }

  get empty(): boolean {
    return this.#lastSeq < this.header.firstSeq;
  }

  get removed(): boolean {
    return this.#removed;
  }

  /** Is told that a group is durable at its end. */
  grow({ entries, offsets, length }: Pick<Group, "entries" | "offsets" | "length">): void {
    if (this.#damagedFrom < Infinity) this.#endDamage(entries[0]!.seq);
    for (let i = 0; i < entries.length; i++) {
      const { seq, acceptedMs } = entries[i]!;
      this.#signposts.pass(seq, this.#end + offsets[i]!, acceptedMs);
      this.#lastSeq = seq;
    }
    this.#end += length;
  }

  /**
   * Is told by what follows it that this is its last record. Its records are not read: until they
   * are, one signpost at its beginning has to do.
   */
  endsWith(lastSeq: number): void {
    const { format, firstSeq, lastAcceptedMs } = this.header;
    this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
    if (this.empty) return;
    this.#signposts.pass(firstSeq, recordsBeginAt(format), lastAcceptedMs);
    this.#indexed = false;
  }

  /**
   * Counts the records after one number and through another, but for those that are known to be
   * damaged.
   */
  count(afterSeq: number, throughSeq: number): number {
    const first = Math.max(afterSeq + 1, this.header.firstSeq);
    const last = Math.min(throughSeq, this.#lastSeq);
    let count = Math.max(0, last - first + 1);
    for (const { expectedSeq, nextSeq = this.#lastSeq + 1 } of this.#damage.values()) {
      count -= Math.max(0, Math.min(last, nextSeq - 1) - Math.max(first, expectedSeq) + 1);
    }
    return count;
  }

  /** Reads all that is durable now; finds its end, its last number, its places, its damage. */
  async scan(listener: ScanListener): Promise<void> {
    const begin = recordsBeginAt(this.header.format);
    let from = begin;
    let expectedSeq = this.header.firstSeq;
    const toIndex = !this.#indexed || this.#signposts.count === 0;
    const end = this.#end;
    while (from < Math.min(end, this.#end)) {
      const { records, offsets, damage, next } = await this.read({ from, end, expectedSeq });
      // The signpost that stood for all records goes, or those of a scan that did not come to its
      // end.
      if (toIndex && from === begin) this.#signposts.clear();
      for (const [i, entry] of records.entries()) {
        if (toIndex) this.#signposts.pass(entry.seq, offsets[i]!, entry.acceptedMs);
        this.#lastSeq = Math.max(this.#lastSeq, entry.seq);
        listener.entry(entry);
      }
      expectedSeq += records.length;
      if (damage !== undefined) {
        this.#judge(damage, listener);
        expectedSeq = damage.nextSeq ?? this.#lastSeq + 1;
      }
      from = next;
    }
    this.#indexed = true;
  }

  /** Remembers a damaged stretch, so that it is measured and reported once. */
  noteDamage(damage: Damage): void {
    this.#damage.set(damage.from, damage);
    // What was written behind it while it was read is whole.
    const isToTheEnd = damage.nextSeq === undefined && damage.to >= this.#end;
    if (isToTheEnd) this.#damagedFrom = damage.expectedSeq;
  }

  knowsDamageAt(offset: number): boolean {
    return this.#damage.has(offset);
  }

  /** Returns the last signpost at or before `seq`; the first one when all come later. */
  signpostFor(seq: number): RecordLocation | undefined {
    return this.#signposts.at(this.#signposts.indexFor(seq));
  }

  /**
   * Returns the bytes in which record `seq` must be, and the number of the record they begin with.
   */
  rangeOf(seq: number): { from: number; end: number; expectedSeq: number } | undefined {
    const i = this.#signposts.indexFor(seq);
    const signpost = this.#signposts.at(i);
    return signpost &&
      {
        from: signpost.offset,
        end: this.#signposts.at(i + 1)?.offset ?? this.#end,
        expectedSeq: signpost.seq,
      };
  }

  async read(request: StretchRequest): Promise<Stretch> {
    const known = this.#damage.get(request.from);
    if (known !== undefined) {
      return { records: [], offsets: [], groupEnds: [], damage: known, next: known.to };
    }
    return await readStretch(await this.#open(), this.name, this.header, request);
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

  /**
   * Says what {@link JournalFile.displaced} does; it is undefined, too, when the file is not held.
   */
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
      // Somebody else was quicker to remove it.
      if (error instanceof Deno.errors.NotFound) return;
      this.#removed = false;
      throw error;
    }
  }

  /** Ends what was damaged at the end, which is not the end any more. */
  #endDamage(nextSeq: number): void {
    for (const damage of this.#damage.values()) {
      if (damage.nextSeq === undefined) this.#damage.set(damage.from, { ...damage, nextSeq });
    }
    this.#damagedFrom = Infinity;
  }

  #judge(damage: Damage, listener: ScanListener): void {
    const lastLostSeq = listener.damage(damage);
    if (lastLostSeq === "torn") {
      this.#end = damage.from;
      return;
    }
    this.noteDamage(damage);
    this.#lastSeq = Math.max(this.#lastSeq, lastLostSeq);
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
