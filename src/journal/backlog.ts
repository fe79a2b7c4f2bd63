/**
 * What is durable and waits for the store: the list of segments, where the next batch begins, and
 * how much there is.
 */
import type { Entry } from "../domain.ts";
import type { Batch } from "../ports/source.ts";
import type { Settled } from "./checkpoint.ts";
import { claimedAcceptedMs, claimedRecordBytes, claimedSeq, HEADER_BYTES } from "./codec.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { Group } from "./group_commit.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { quarantine, type Recovered } from "./recovery.ts";
import type { Damage } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { DamageReport } from "./survey.ts";

/** Where the next entry to be taken is. */
interface Position {
  readonly segment: Segment;
  offset: number;
  seq: number;
}

export class Backlog {
  readonly #segments: Segment[];
  #position: Position | undefined;
  #depth: number;
  #lastSeq: number;
  #ackedSeq: number;
  #settled: Settled | undefined;
  #bytes: number;

  constructor(
    private readonly fs: JournalFileSystem,
    private readonly dir: string,
    recovered: Recovered,
    private readonly onDamage: (report: DamageReport) => void,
  ) {
    this.#segments = [...recovered.segments];
    this.#depth = recovered.unacked;
    this.#lastSeq = recovered.lastSeq;
    this.#ackedSeq = recovered.ackedSeq;
    this.#settled = recovered.settled;
    this.#bytes = this.#segments.reduce((sum, segment) => sum + segment.end, 0);
  }

  /** Entries accepted and not acknowledged, durable or not. */
  get depth(): number {
    return this.#depth;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  get ackedSeq(): number {
    return this.#ackedSeq;
  }

  /** The last batch that was acknowledged, in this run or before. */
  get settled(): Settled | undefined {
    return this.#settled;
  }

  /** On disk. */
  get bytes(): number {
    return this.#bytes;
  }

  accept(seq: number): void {
    this.#lastSeq = seq;
    this.#depth++;
  }

  addSegment(segment: Segment): void {
    this.#segments.push(segment);
    this.#bytes += HEADER_BYTES;
  }

  /** The group's bytes are durable at the end of the segment. */
  commit(segment: Segment, group: Group): void {
    const view = new DataView(group.bytes.buffer);
    for (let at = 0; at < group.length; at += claimedRecordBytes(view, at, group.length - at)!) {
      segment.index(claimedSeq(view, at), segment.end + at, claimedAcceptedMs(view, at));
    }
    segment.end += group.length;
    segment.lastSeq = group.lastSeq;
    this.#bytes += group.length;
  }

  /** Entries that were acknowledged, or never will be taken. */
  forget(count: number): void {
    this.#depth -= count;
    if (this.#depth === 0) this.#ackedSeq = this.#lastSeq;
  }

  acknowledge(batch: Batch): void {
    if (batch.lastSeq <= this.#ackedSeq) return;
    this.#ackedSeq = batch.lastSeq;
    this.#settled = { source: batch.source, seq: batch.lastSeq };
    this.forget(batch.entries.length);
  }

  /** Of the first durable entry that is not acknowledged, at most a second too early. */
  get oldestAcceptedMs(): number | undefined {
    for (const segment of this.#segments) {
      if (segment.lastSeq <= this.#ackedSeq) continue;
      const mark = segment.markFor(this.#ackedSeq + 1);
      if (mark !== undefined) return mark.acceptedMs;
    }
    return undefined;
  }

  /** @throws whatever the disk says; nothing is passed over then */
  async take(maxRows: number): Promise<Batch | undefined> {
    const entries: Entry[] = [];
    let source = "";
    let room = MEMORY_BUDGET.batch.bytes;
    while (entries.length < maxRows && room > 0) {
      const position = this.#unread();
      if (position === undefined || (entries.length > 0 && position.segment.source !== source)) {
        break;
      }
      source = position.segment.source;
      const from = position.offset;
      try {
        await this.#takeFrom(position, entries, maxRows - entries.length);
      } catch (error) {
        // What was read is delivered; the error comes again with the next call.
        if (entries.length === 0) throw error;
        break;
      }
      room -= position.offset - from;
    }
    const last = entries.at(-1);
    return last && { source, entries, lastSeq: last.seq };
  }

  async read(seq: number): Promise<Entry | undefined> {
    if (seq <= this.#ackedSeq) return undefined;
    const segment = this.#segments.find((candidate) => candidate.lastSeq >= seq);
    const range = segment?.rangeOf(seq);
    if (segment === undefined || range === undefined) return undefined;
    try {
      return await this.#find(segment, range, seq);
    } catch (error) {
      if (segment.removed) return undefined;
      throw error;
    }
  }

  /** Complete segments that hold nothing the store does not have. */
  removable(active: Segment | undefined): Segment[] {
    return this.#segments.filter((segment) =>
      segment !== active && segment.lastSeq <= this.#ackedSeq
    );
  }

  /** Only after a checkpoint that says so is durable. */
  async remove(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      await segment.remove();
      this.#segments.splice(this.#segments.indexOf(segment), 1);
      this.#bytes -= segment.end;
    }
    if (segments.length > 0) await this.fs.syncDirectory(this.dir);
  }

  /** As {@link JournalFile.displaced}, of the first segment that is. */
  displaced(): string | undefined {
    for (const segment of this.#segments) {
      const reason = segment.displaced();
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  async close(): Promise<void> {
    for (const segment of this.#segments) await segment.close();
  }

  #unread(): Position | undefined {
    const current = this.#position;
    if (current !== undefined && current.offset < current.segment.end) return current;
    const nextSeq = current?.seq ?? 0;
    for (const segment of this.#segments) {
      if (segment === current?.segment || segment.lastSeq < nextSeq) continue;
      const first = segment.markFor(0);
      if (first !== undefined) {
        return this.#position = { segment, offset: first.offset, seq: first.seq };
      }
    }
    return undefined;
  }

  async #takeFrom(position: Position, entries: Entry[], maxRecords: number): Promise<void> {
    const { segment, offset, seq } = position;
    // Both before the read: more may become durable meanwhile.
    const { end, lastSeq } = segment;
    const { records, damage, next } = await segment.read({
      from: offset,
      end,
      expectedSeq: seq,
      maxRecords,
    });
    for (const entry of records) entries.push(entry);
    position.offset = damage?.from ?? next;
    position.seq = seq + records.length;
    if (damage === undefined) return;
    await this.#quarantine(segment, damage, lastSeq);
    position.offset = next;
    position.seq = damage.nextSeq ?? lastSeq + 1;
  }

  async #quarantine(segment: Segment, damage: Damage, lastSeq: number): Promise<void> {
    if (segment.knowsDamageAt(damage.from)) return;
    const bytes = damage.to - damage.from;
    await quarantine(this.fs, this.dir, segment, damage.from, bytes);
    segment.noteDamage(damage);
    this.forget((damage.nextSeq ?? lastSeq + 1) - damage.expectedSeq);
    this.onDamage({ kind: "damaged", segment: segment.name, offset: damage.from, bytes });
  }

  /** Passes over damage without a word: to report it is for `take`, which comes by here, too. */
  async #find(
    segment: Segment,
    range: { readonly from: number; readonly end: number; readonly expectedSeq: number },
    seq: number,
  ): Promise<Entry | undefined> {
    let { from, expectedSeq } = range;
    while (from < range.end && expectedSeq <= seq) {
      const maxRecords = seq - expectedSeq + 1;
      const { records, damage, next } = await segment.read({
        from,
        end: range.end,
        expectedSeq,
        maxRecords,
      });
      const found = records[seq - expectedSeq];
      if (found !== undefined) return found;
      expectedSeq = damage === undefined
        ? expectedSeq + records.length
        : damage.nextSeq ?? Infinity;
      from = next;
    }
    return undefined;
  }
}
