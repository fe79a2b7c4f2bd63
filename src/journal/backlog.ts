/**
 * Keeps what waits for the store: where the next batch begins, how much there is, and what is given
 * again when the store went back.
 */
import type { Entry } from "../domain.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import type { IntakeListener } from "../ports/intake.ts";
import type { Batch, Rewound } from "../ports/source.ts";
import type { Group } from "./group.ts";
import { Losses, type LossesOptions } from "./losses.ts";
import type { Progress } from "./progress.ts";
import { missingThrough, Retelling } from "./rewind.ts";
import type { Damage } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

/** The next entry to be taken is here. */
interface Position {
  readonly segment: Segment;
  offset: number;
  /** It is the number of the record at `offset`. */
  seq: number;
}

interface BacklogOptions extends LossesOptions {
  readonly segments: Segments;
  /** A start found so many entries that the store may not have. */
  readonly depth: number;
  readonly tell: IntakeListener["unsettled"];
}

export class Backlog {
  readonly #segments: Segments;
  readonly #progress: Progress;
  readonly #losses: Losses;
  readonly #retelling: Retelling;
  #position: Position | undefined;
  #depth: number;
  #acceptedSeq = 0;

  constructor(options: BacklogOptions) {
    this.#segments = options.segments;
    this.#progress = options.progress;
    this.#losses = new Losses(options);
    this.#retelling = new Retelling({
      tell: options.tell,
      lose: async (segment, damage) => {
        this.countOut(await this.#losses.lose(segment, damage, segment.lastSeq));
      },
      loseEnd: (segment, afterSeq, throughSeq) => {
        this.#losses.loseEnd(segment, afterSeq, throughSeq);
        this.countOut(segment.count(afterSeq, throughSeq));
      },
      loseSegment: (segment, afterSeq, entries) => {
        this.#losses.loseSegment(segment, afterSeq);
        this.#segments.lose(segment);
        this.countOut(entries);
      },
    });
    this.#depth = options.depth;
  }

  /** So many entries are accepted and not settled, durable or not. */
  get depth(): number {
    return this.#depth;
  }

  /** It is the last number given out in this run. */
  get acceptedSeq(): number {
    return this.#acceptedSeq;
  }

  accept(seq: number): void {
    this.#acceptedSeq = seq;
    this.#depth++;
  }

  /** Counts a group in that is durable at the end of the segment. */
  commit(segment: Segment, group: Group): void {
    segment.grow(group);
    this.#segments.grew(segment, group.length);
  }

  /** Counts out entries that wait no longer: settled, withdrawn, or damaged. */
  countOut(count: number): void {
    this.#depth -= count;
    if (this.#depth === 0) this.#segments.finishAll();
  }

  settle({ source, entries, lastSeq }: Batch): void {
    const doneSeq = this.#progress.doneSeq(source);
    if (lastSeq <= doneSeq) return;
    this.#progress.settle(source, lastSeq);
    const isNew = entries[0]!.seq > doneSeq;
    this.countOut(isNew ? entries.length : entries.filter(({ seq }) => seq > doneSeq).length);
    this.#segments.noteProgress();
  }

  /**
   * It is the acceptance time of the first durable entry that is not settled, at most a second too
   * early, as the segment knows it by its nearest signpost.
   */
  get oldestAcceptedMs(): number | undefined {
    const segment = this.#firstWaiting();
    return segment?.signpostFor(this.#progress.doneSeq(segment.source) + 1)?.acceptedMs;
  }

  /**
   * Does as {@link Source.open} says. What was settled last is among the result even if nothing of
   * it is here any more: nobody else can say that the store lost it.
   */
  async open(): Promise<ReadonlyMap<string, number>> {
    await this.#retelling.tellAll();
    this.#position = undefined;
    const settled = new Map<string, number>();
    for (const { source } of this.#segments) {
      settled.set(source, this.#progress.of(source).settledSeq);
    }
    const latest = this.#progress.lastSettled();
    if (latest !== undefined) settled.set(latest.source, latest.settledSeq);
    return settled;
  }

  /**
   * Does as {@link Source.take} says.
   * @throws whatever the disk says; nothing is passed over then
   */
  async take(maxRows: number): Promise<Batch | undefined> {
    await this.#retelling.tellAll();
    const entries: Entry[] = [];
    let source = "";
    let room: number = MEMORY_BUDGET.batch.bytes;
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

  async read(run: string, seq: number): Promise<Entry | undefined> {
    const segment = this.#segments.find(run, seq);
    const range = segment?.rangeOf(seq);
    if (segment === undefined || range === undefined) return undefined;
    if (seq <= this.#progress.doneSeq(segment.source)) return undefined;
    try {
      return await find(segment, range, seq);
    } catch (error) {
      if (segment.removed) return undefined;
      throw error;
    }
  }

  /**
   * Lets what is settled of `source` beyond `seq` wait again. Nothing may be taken, settled or
   * removed meanwhile.
   * @param save makes the checkpoint that says so durable; when it rejects, nothing has changed
   * @throws whatever the disk says; what could not be read is told before the next {@link take}
   */
  async rewind(source: string, seq: number, save: () => Promise<void>): Promise<Rewound> {
    const before = this.#progress.of(source);
    const toSeq = Math.max(seq, before.floorSeq);
    if (toSeq >= before.settledSeq) return { entries: 0, missingThrough: undefined };
    const missing = missingThrough(this.#segments, before, toSeq);
    const doneSeq = Math.max(toSeq, missing ?? 0);
    const again = [...this.#segments].filter((segment) => segment.source === source);
    const counts = again.map((segment) => segment.count(doneSeq, before.doneSeq));
    const waiting = counts.reduce((sum, count) => sum + count, 0);
    this.#progress.set({ ...before, settledSeq: toSeq, doneSeq });
    // This is counted at once: should nothing else wait, all would be called done by whoever
    // withdraws a group now.
    this.#depth += waiting;
    this.#segments.noteProgress();
    try {
      await save();
    } catch (error) {
      this.#progress.set(before);
      this.countOut(waiting);
      this.#segments.noteProgress();
      throw error;
    }
    if (missing !== undefined) this.#losses.loseForGood(source, toSeq + 1, missing);
    for (const segment of again) this.#retelling.add(segment, doneSeq, before.doneSeq);
    this.#position = undefined;
    const { entries, lostSeq } = await this.#retelling.tellAll();
    return { entries, missingThrough: lostSeq ?? missing };
  }

  #firstWaiting(): Segment | undefined {
    for (const segment of this.#segments) {
      if (!this.#segments.isSettled(segment)) return segment;
    }
    return undefined;
  }

  #unread(): Position | undefined {
    const current = this.#position;
    if (current !== undefined && current.offset < current.segment.end) return current;
    // A segment is removed only when it and all before it are settled.
    let passed = current === undefined || current.segment.removed;
    for (const segment of this.#segments) {
      if (passed && !this.#segments.isSettled(segment)) {
        const signpost = segment.signpostFor(this.#progress.doneSeq(segment.source) + 1);
        if (signpost !== undefined) {
          return this.#position = { segment, offset: signpost.offset, seq: signpost.seq };
        }
      }
      passed ||= segment === current?.segment;
    }
    return undefined;
  }

  async #takeFrom(position: Position, entries: Entry[], maxRecords: number): Promise<void> {
    const { segment, offset, seq } = position;
    // All of these are read before the records are, as more may become durable meanwhile.
    const { end, lastSeq } = segment;
    const settled = Math.max(0, this.#progress.doneSeq(segment.source) + 1 - seq);
    const { records, damage, next } = await segment.read({
      from: offset,
      end,
      expectedSeq: seq,
      maxRecords: settled + maxRecords,
    });
    for (let i = settled; i < records.length; i++) entries.push(records[i]!);
    position.offset = damage?.from ?? next;
    position.seq = seq + records.length;
    if (damage === undefined) return;
    await this.#loseDamaged(segment, damage, lastSeq);
    position.offset = next;
    position.seq = damage.nextSeq ?? lastSeq + 1;
  }

  async #loseDamaged(segment: Segment, damage: Damage, lastSeq: number): Promise<void> {
    if (segment.knowsDamageAt(damage.from)) return;
    this.countOut(await this.#losses.lose(segment, damage, lastSeq));
    segment.noteDamage(damage);
    this.#segments.noteProgress();
  }
}

/**
 * Finds one record, and passes over damage without a word: to report it is for `take`, which comes
 * by here, too.
 */
async function find(
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
    expectedSeq = damage === undefined ? expectedSeq + records.length : damage.nextSeq ?? Infinity;
    from = next;
  }
  return undefined;
}
