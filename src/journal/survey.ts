/**
 * Makes one pass over all that a journal's directory holds, in order. It only reads: a start
 * repairs by it, `--check-config` reports by it. Of segments that are settled the headers are
 * enough.
 */
import type { Entry } from "../domain.ts";
import { AppError } from "../errors.ts";
import {
  type Checkpoint,
  CHECKPOINT_FILE,
  type LastRecord,
  readCheckpoint,
  readInstance,
} from "./checkpoint.ts";
import { HEADER_BYTES } from "./codec.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import { Numbers } from "./numbers.ts";
import { Progress } from "./progress.ts";
import type { Damage } from "./scan.ts";
import { Segment } from "./segment.ts";
import { findSegments, ordinalOf, type SegmentFile } from "./segment_file.ts";
import type { Withdrawn } from "./withdrawn.ts";

/** It reports something that is not as it was written. */
export interface DamageReport {
  /**
   * `torn-tail` is the end of a write that a crash cut short, and was never durable; `damaged` are
   * records that were, or may have been.
   */
  readonly kind: "torn-tail" | "damaged";
  /** It is the name of the file. */
  readonly segment: string;
  readonly offset: number;
  /** It is 0 when the file is missing. */
  readonly bytes: number;
}

export interface Survey {
  readonly instance: string | undefined;
  readonly progress: Progress;
  readonly withdrawn: Withdrawn;
  /** It is the last number of format 1 that may have been given out; 0 when there never was one. */
  readonly oldLastSeq: number;
  /** It is the last durable record. */
  readonly last: LastRecord;
  /** It is the highest number that the name of a segment has or had. */
  readonly ordinal: number;
  readonly lastAcceptedMs: number;
  /** So many records were read. */
  readonly records: number;
  /** So many of them the store may not have yet. */
  readonly unsettled: number;
  readonly segments: readonly Segment[];
  readonly damage: readonly DamageReport[];
  /** A crash left these segments without a header, before any record was in them. */
  readonly aborted: readonly string[];
  /** The headers of these segments cannot be read, and so none of their records. */
  readonly unreadable: readonly string[];
}

interface SurveyOptions {
  /** It is called in order with every entry that the store may not have yet. */
  readonly onUnsettled?: (entry: Entry) => void;
  /** It is true when the records of settled segments are read, too. */
  readonly readsSettled?: boolean;
}

/**
 * Surveys the journal in `dir`.
 * @throws AppError `journal-failed` for what only a person can decide: another instance's files, an
 *   unknown format
 */
export async function survey(
  fs: JournalFileSystem,
  dir: string,
  options: SurveyOptions = {},
): Promise<Survey> {
  const instance = await readInstance(fs, dir);
  const checkpoint = await readCheckpoint(fs, dir);
  const found = await findSegments(fs, dir);
  const newest = found.at(-1);
  const surveyor = new Surveyor(fs, dir, instance, checkpoint, options);
  // The header is durable before the first record is written.
  const aborted = newest !== undefined && newest.header === undefined &&
    newest.size <= HEADER_BYTES;
  if (aborted) found.pop();
  for (const [i, file] of found.entries()) await surveyor.visit(file, found[i + 1]);
  return {
    ...surveyor.finish(),
    ordinal: Math.max(
      newest === undefined ? 0 : ordinalOf(newest.name)!,
      checkpoint === undefined || checkpoint === "damaged" ? 0 : checkpoint.ordinal,
    ),
    aborted: aborted ? [newest.name] : [],
  };
}

class Surveyor {
  readonly #checkpoint: Checkpoint | undefined;
  readonly #progress: Progress;
  readonly #numbers: Numbers;
  #lastAcceptedMs: number;
  #records = 0;
  #unsettled = 0;
  readonly #segments: Segment[] = [];
  readonly #damage: DamageReport[] = [];
  readonly #unreadable: string[] = [];

  constructor(
    private readonly fs: JournalFileSystem,
    private readonly dir: string,
    private readonly instance: string | undefined,
    checkpoint: Checkpoint | "damaged" | undefined,
    private readonly options: SurveyOptions,
  ) {
    if (checkpoint === "damaged") {
      this.#report("damaged", CHECKPOINT_FILE, 0, 0);
      checkpoint = undefined;
    } else if (checkpoint !== undefined) this.#refuseForeign(checkpoint.instance, CHECKPOINT_FILE);
    this.#checkpoint = checkpoint;
    this.#progress = new Progress(checkpoint?.sources);
    this.#numbers = new Numbers(instance ?? "", checkpoint);
    this.#lastAcceptedMs = checkpoint?.lastAcceptedMs ?? 0;
  }

  async visit(found: SegmentFile, next: SegmentFile | undefined): Promise<void> {
    const { name, size, header } = found;
    if (header === undefined) return this.#withoutHeader(found, next);
    this.#refuseForeign(header.instance, name);
    const segment = new Segment(this.fs, this.dir, name, header, size);
    const before = this.#segments.at(-1);
    if (before?.run === segment.run && header.firstSeq <= before.lastSeq) throw this.#overlap(name);
    if (this.#numbers.misses(header)) this.#report("damaged", `missing before ${name}`, 0, 0);
    this.#numbers.precede(segment.run, header);
    this.#lastAcceptedMs = Math.max(this.#lastAcceptedMs, header.lastAcceptedMs);
    this.#segments.push(segment);
    this.#knowOldSource(segment);
    const endSeq = this.#endSeq(segment, next);
    const settled = endSeq !== undefined && endSeq <= this.#progress.doneSeq(segment.source);
    if (settled && !this.options.readsSettled) segment.endsWith(endSeq);
    else await this.#readRecords(segment, next !== undefined, endSeq);
    if (!segment.empty) this.#numbers.reach(segment.run, segment.lastSeq);
  }

  finish(): Omit<Survey, "aborted" | "ordinal"> {
    const last = this.#checkpoint?.last;
    if (last !== undefined && this.#numbers.lastSeq(last.run) < last.seq) {
      const name = this.#segments.at(-1)?.name ?? CHECKPOINT_FILE;
      this.#report("damaged", `missing after ${name}`, 0, 0);
      this.#numbers.lose(last.run, last.seq);
      this.#numbers.reach(last.run, last.seq);
    }
    return {
      instance: this.instance,
      progress: this.#progress,
      withdrawn: this.#numbers.withdrawn,
      oldLastSeq: this.#numbers.oldLastSeq,
      last: this.#numbers.last,
      lastAcceptedMs: this.#lastAcceptedMs,
      records: this.#records,
      unsettled: this.#unsettled,
      segments: this.#segments,
      damage: this.#damage,
      unreadable: this.#unreadable,
    };
  }

  /**
   * Notes a source of format 1, of which checkpoints name one; of the others it is only known that
   * nothing of them waits.
   */
  #knowOldSource({ header, source }: Segment): void {
    const doneSeq = this.#checkpoint?.oldDoneSeq ?? 0;
    if (header.format !== 1) return;
    if (this.#progress.find(source) !== undefined) return this.#progress.finish(source, doneSeq);
    this.#progress.set({ source, settledSeq: 0, doneSeq, floorSeq: doneSeq });
  }

  /**
   * Returns the last number of a segment, by what follows it; undefined when only its records can
   * tell: those of the last segment may be more than the checkpoint knew.
   */
  #endSeq(segment: Segment, next: SegmentFile | undefined): number | undefined {
    if (next === undefined) {
      const last = this.#checkpoint?.last;
      const same = last?.segment?.name === segment.name && last.segment.end === segment.end;
      return same && last.run === segment.run ? last.seq : undefined;
    }
    if (next.header === undefined) return undefined;
    const { previousRun, previousSeq } = next.header;
    if (previousRun === segment.run) return previousSeq;
    const { header } = segment;
    const nothingBetween = previousRun === header.previousRun && previousSeq === header.previousSeq;
    return nothingBetween ? header.firstSeq - 1 : undefined;
  }

  async #readRecords(
    segment: Segment,
    hasNext: boolean,
    endSeq: number | undefined,
  ): Promise<void> {
    try {
      await segment.scan({
        entry: (entry) => this.#count(segment.source, entry),
        damage: (damage) => this.#judge(segment, damage, hasNext, endSeq),
      });
    } finally {
      await segment.close();
    }
  }

  #count(source: string, entry: Entry): void {
    this.#records++;
    this.#lastAcceptedMs = Math.max(this.#lastAcceptedMs, entry.acceptedMs);
    if (entry.seq <= this.#progress.doneSeq(source)) return;
    this.#unsettled++;
    this.options.onUnsettled?.(entry);
  }

  /**
   * Tells a torn tail from damage. Torn is only what no durable record can have been: the end of
   * the last segment, past what a checkpoint knew of.
   */
  #judge(
    segment: Segment,
    damage: Damage,
    hasNext: boolean,
    endSeq: number | undefined,
  ): number | "torn" {
    const bytes = damage.to - damage.from;
    const doneSeq = this.#progress.doneSeq(segment.source);
    const last = this.#checkpoint?.last;
    const knownSeq = Math.max(doneSeq, last?.run === segment.run ? last.seq : 0);
    const torn = damage.nextSeq === undefined && !hasNext && damage.expectedSeq > knownSeq;
    if (torn) {
      this.#report("torn-tail", segment.name, damage.from, bytes);
      return "torn";
    }
    const lastLostSeq = damage.nextSeq === undefined
      ? endSeq ?? Math.max(knownSeq, damage.expectedSeq)
      : damage.nextSeq - 1;
    // What the store has anyway is no loss.
    if (lastLostSeq > doneSeq) {
      this.#report("damaged", segment.name, damage.from, bytes);
      const firstLostSeq = Math.max(damage.expectedSeq, doneSeq + 1);
      this.#numbers.withdrawn.add(segment.run, firstLostSeq, lastLostSeq);
    }
    return lastLostSeq;
  }

  #withoutHeader(found: SegmentFile, next: SegmentFile | undefined): void {
    this.#unreadable.push(found.name);
    this.#report("damaged", found.name, 0, found.size);
    if (next?.header !== undefined) this.#numbers.accountFor(next.header);
    const old = this.#segments.every(({ header }) => header.format === 1);
    if (old && next === undefined) this.#numbers.mayHaveReached(ordinalOf(found.name)!, found.size);
  }

  #report(kind: DamageReport["kind"], segment: string, offset: number, bytes: number): void {
    this.#damage.push({ kind, segment, offset, bytes });
  }

  #refuseForeign(instance: string, name: string): void {
    if (instance === this.instance) return;
    const own = this.instance ?? "none (its file instance is missing)";
    throw new AppError(
      "journal-failed",
      `Cannot open the journal in ${this.dir}: ${name} belongs to instance ${instance}, the ` +
        `directory to ${own}. Put back the files that belong together.`,
    );
  }

  #overlap(name: string): AppError {
    return new AppError(
      "journal-failed",
      `Cannot open the journal in ${this.dir}: ${name} begins before the segment ahead of it ` +
        "ends. Put back the files that belong together.",
    );
  }
}
