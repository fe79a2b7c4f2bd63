/**
 * What waits for the store: where the next batch begins, how much there is, and what is given again
 * when the store went back.
 */
import type { Entry } from "../domain.ts";
import type { IntakeListener } from "../ports/intake.ts";
import type { Batch, Rewound } from "../ports/source.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { Group } from "./group.ts";
import type { Progress, SourceProgress } from "./progress.ts";
import { quarantine } from "./quarantine.ts";
import type { Damage } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";
import type { DamageReport } from "./survey.ts";
import type { Withdrawn } from "./withdrawn.ts";

const BATCH_BYTES_MAX = 16 * 1024 * 1024;

/** Where the next entry to be taken is. */
interface Position {
  readonly segment: Segment;
  offset: number;
  /** The number of the record at `offset`. */
  seq: number;
}

export interface BacklogOptions {
  readonly fs: JournalFileSystem;
  readonly dir: string;
  readonly segments: Segments;
  readonly progress: Progress;
  readonly withdrawn: Withdrawn;
  /** The run that is under way. */
  readonly run: string;
  /** Entries that a start found, and the store may not have. */
  readonly depth: number;
  readonly onDamage: (report: DamageReport) => void;
}

export class Backlog {
  readonly #segments: Segments;
  readonly #progress: Progress;
  readonly #run: string;
  #position: Position | undefined;
  #depth: number;
  #acceptedSeq = 0;
  /** A source whose entries are told again, and the number after which they are. */
  #rewinding: { readonly source: string; readonly seq: number } | undefined;

  constructor(private readonly options: BacklogOptions) {
    this.#segments = options.segments;
    this.#progress = options.progress;
    this.#run = options.run;
    this.#depth = options.depth;
  }

  /** Entries accepted and not settled, durable or not. */
  get depth(): number {
    return this.#depth;
  }

  /** The last number given out in this run. */
  get acceptedSeq(): number {
    return this.#acceptedSeq;
  }

  accept(seq: number): void {
    this.#acceptedSeq = seq;
    this.#depth++;
  }

  /** The group is durable at the end of the segment. */
  commit(segment: Segment, group: Group): void {
    segment.grow(group.length, group.marks());
    this.#segments.grew(segment, group.length);
  }

  /** Entries that will never be taken: withdrawn, or damaged. */
  forget(count: number): void {
    this.#depth -= count;
    if (this.#depth === 0) this.#finishAll();
  }

  settle({ source, entries, lastSeq }: Batch): void {
    const doneSeq = this.#progress.doneSeq(source);
    if (lastSeq <= doneSeq) return;
    this.#progress.settle(source, lastSeq);
    this.forget(entries.filter(({ seq }) => seq > doneSeq).length);
    this.#segments.noteProgress();
  }

  /** Of the first durable entry that is not settled, at most a second too early. */
  get oldestAcceptedMs(): number | undefined {
    const segment = this.#firstWaiting();
    return segment?.markFor(this.#progress.doneSeq(segment.source) + 1)?.acceptedMs;
  }

  /**
   * As {@link Source.open}. What was settled last is among them even if nothing of it is here any
   * more: nobody else can say that the store lost it.
   */
  open(): ReadonlyMap<string, number> {
    this.#position = undefined;
    const settled = new Map<string, number>();
    for (const { source } of this.#segments) {
      settled.set(source, this.#progress.of(source).settledSeq);
    }
    const latest = this.#progress.lastSettled();
    if (latest !== undefined) settled.set(latest.source, latest.settledSeq);
    return settled;
  }

  /** @throws whatever the disk says; nothing is passed over then */
  async take(maxRows: number): Promise<Batch | undefined> {
    const entries: Entry[] = [];
    let source = "";
    let room = BATCH_BYTES_MAX;
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
    if (segment === undefined || range === undefined || !this.#mayWait(segment, seq)) {
      return undefined;
    }
    try {
      return await find(segment, range, seq);
    } catch (error) {
      if (segment.removed) return undefined;
      throw error;
    }
  }

  /**
   * What is settled of `source` beyond `seq` waits again. Nothing else may be taken, settled or
   * removed meanwhile.
   * @param save makes the checkpoint that says so durable, before anything is told
   * @throws whatever the disk says; then nothing has changed, but for what was told already
   */
  async rewind(
    source: string,
    seq: number,
    save: () => Promise<void>,
    tell: IntakeListener["unsettled"],
  ): Promise<Rewound> {
    const before = this.#progress.of(source);
    const toSeq = Math.max(seq, before.floorSeq);
    if (toSeq >= before.settledSeq) return { entries: 0, missingThrough: undefined };
    const missing = this.#missingThrough(before, toSeq);
    const doneSeq = Math.max(toSeq, missing ?? 0);
    this.#progress.set({ ...before, settledSeq: toSeq, doneSeq });
    this.#rewinding = { source, seq: doneSeq };
    try {
      await save();
      const { entries, lostSeq } = await this.#tellAgain(before, doneSeq, tell);
      this.#depth += entries;
      this.#position = undefined;
      this.#segments.noteProgress();
      if (this.#depth === 0) this.#finishAll();
      return { entries, missingThrough: lostSeq ?? missing };
    } catch (error) {
      this.#progress.set(before);
      throw error;
    } finally {
      this.#rewinding = undefined;
    }
  }

  async #tellAgain(
    before: SourceProgress,
    seq: number,
    tell: IntakeListener["unsettled"],
  ): Promise<{ readonly entries: number; readonly lostSeq: number | undefined }> {
    let entries = 0;
    let lostSeq: number | undefined;
    for (const segment of [...this.#segments]) {
      if (segment.source !== before.source || segment.lastSeq <= seq) continue;
      try {
        await this.#scanAgain(segment, (entry) => {
          if (entry.seq <= seq || entry.seq > before.doneSeq) return;
          entries++;
          tell(entry);
        });
        await segment.hold();
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        // Settled segments are not looked after: somebody removed it.
        lostSeq = segment.lastSeq;
        this.#segments.lose(segment);
        const missing = `missing: ${segment.name}`;
        this.options.onDamage({ kind: "damaged", segment: missing, offset: 0, bytes: 0 });
      }
    }
    return { entries, lostSeq };
  }

  async #scanAgain(segment: Segment, onEntry: (entry: Entry) => void): Promise<void> {
    const damaged: Damage[] = [];
    await segment.scan({
      entry: onEntry,
      damage: (damage) => {
        if (!segment.knowsDamageAt(damage.from)) damaged.push(damage);
        return (damage.nextSeq ?? segment.lastSeq + 1) - 1;
      },
    });
    for (const damage of damaged) {
      await this.#putAside(segment, damage);
      this.#lose(segment, damage, segment.lastSeq);
    }
  }

  /** The last number of what was durable and is in no segment any more. */
  #missingThrough({ source, settledSeq }: SourceProgress, seq: number): number | undefined {
    let before: Segment | undefined;
    for (const segment of this.#segments) {
      if (segment.source !== source) {
        before = segment;
        continue;
      }
      const { previousRun, previousSeq } = segment.header;
      // What came before the first segment was of this source, unless another one precedes it.
      const own = previousRun === segment.run && before?.run !== segment.run;
      return own && previousSeq > seq ? Math.min(previousSeq, settledSeq) : undefined;
    }
    return settledSeq;
  }

  #mayWait(segment: Segment, seq: number): boolean {
    const { source } = segment;
    if (this.#rewinding?.source === source && seq > this.#rewinding.seq) return true;
    return seq > this.#progress.doneSeq(source);
  }

  #finishAll(): void {
    this.#segments.finishAll();
    this.#progress.finish(this.#run, this.#acceptedSeq);
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
        const mark = segment.markFor(this.#progress.doneSeq(segment.source) + 1);
        if (mark !== undefined) {
          return this.#position = { segment, offset: mark.offset, seq: mark.seq };
        }
      }
      passed ||= segment === current?.segment;
    }
    return undefined;
  }

  async #takeFrom(position: Position, entries: Entry[], maxRecords: number): Promise<void> {
    const { segment, offset, seq } = position;
    // All before the read: more may become durable meanwhile.
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
    await this.#putAside(segment, damage);
    segment.noteDamage(damage);
    this.forget(this.#lose(segment, damage, lastSeq));
    this.#segments.noteProgress();
  }

  /**
   * What is damaged and not settled never comes to the store: to call it settled, once those after
   * it are, would be a lie. Returns how many numbers that are.
   */
  #lose(segment: Segment, damage: Damage, lastSeq: number): number {
    const firstLost = Math.max(damage.expectedSeq, this.#progress.doneSeq(segment.source) + 1);
    const lastLost = damage.nextSeq === undefined ? lastSeq : damage.nextSeq - 1;
    if (lastLost < firstLost) return 0;
    this.options.withdrawn.add(segment.run, firstLost, lastLost);
    return lastLost - firstLost + 1;
  }

  async #putAside(segment: Segment, damage: Damage): Promise<void> {
    const { fs, dir, onDamage } = this.options;
    const bytes = damage.to - damage.from;
    await quarantine(fs, dir, segment, damage.from, bytes);
    onDamage({ kind: "damaged", segment: segment.name, offset: damage.from, bytes });
  }
}

/** Passes over damage without a word: to report it is for `take`, which comes by here, too. */
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
