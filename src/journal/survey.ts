/**
 * One pass over all that a journal's directory holds, in order. Reads only: start repairs by it,
 * `--check-config` reports by it.
 */
import { join } from "node:path";
import type { Entry } from "../domain.ts";
import { AppError } from "../errors.ts";
import {
  type Checkpoint,
  CHECKPOINT_FILE,
  readCheckpoint,
  readInstance,
  type Settled,
} from "./checkpoint.ts";
import { decodeHeader, HEADER_BYTES, MIN_RECORD_BYTES, type SegmentHeader } from "./codec.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { Damage } from "./scan.ts";
import { firstSeqOf, Segment } from "./segment.ts";

/** Something that is not as it was written. */
export interface DamageReport {
  /**
   * `torn-tail`: the end of a write that a crash cut short, never durable; `damaged`: records that
   * were, or may have been.
   */
  readonly kind: "torn-tail" | "damaged";
  /** The name of the file. */
  readonly segment: string;
  readonly offset: number;
  /** 0 when the file is missing. */
  readonly bytes: number;
}

export interface Survey {
  readonly instance: string | undefined;
  readonly ackedSeq: number;
  /** No number up to this one may be given out again. */
  readonly lastSeq: number;
  readonly lastAcceptedMs: number;
  /** As the checkpoint says; false without one. */
  readonly cacheCurrent: boolean;
  /** As the checkpoint says. */
  readonly settled: Settled | undefined;
  readonly records: number;
  /** Records that the store may not have yet. */
  readonly unacked: number;
  readonly segments: readonly Segment[];
  readonly damage: readonly DamageReport[];
  /** Names of segments that a crash left without a header, before any record was in them. */
  readonly aborted: readonly string[];
  /** Names of segments whose header cannot be read, and so none of their records. */
  readonly unreadable: readonly string[];
}

interface Found {
  readonly name: string;
  readonly size: number;
  readonly header: SegmentHeader | undefined;
}

/**
 * @param onUnacked called in order with every entry that the store may not have yet
 * @throws AppError `journal-failed` for what only a person can decide: another instance's files, an
 *   unknown format
 */
export async function survey(
  fs: JournalFileSystem,
  dir: string,
  onUnacked: (entry: Entry) => void = () => {},
): Promise<Survey> {
  const instance = await readInstance(fs, dir);
  const checkpoint = await readCheckpoint(fs, dir);
  const surveyor = new Surveyor(fs, dir, instance, checkpoint, onUnacked);
  const found = await findSegments(fs, dir);
  const newest = found.at(-1);
  // The header is durable before the first record is written.
  const aborted = newest !== undefined && newest.header === undefined &&
    newest.size <= HEADER_BYTES;
  if (aborted) found.pop();
  for (const [i, file] of found.entries()) await surveyor.visit(file, found[i + 1]);
  return { ...surveyor.finish(), aborted: aborted ? [newest.name] : [] };
}

async function findSegments(fs: JournalFileSystem, dir: string): Promise<Found[]> {
  const names = (await fs.list(dir)).filter((name) => firstSeqOf(name) !== undefined).sort();
  const found: Found[] = [];
  for (const name of names) found.push(await readHeader(fs, dir, name));
  return found;
}

async function readHeader(fs: JournalFileSystem, dir: string, name: string): Promise<Found> {
  const file = await fs.open(join(dir, name), "read");
  try {
    const bytes = new Uint8Array(HEADER_BYTES);
    await file.readAt(bytes, 0);
    return { name, size: await file.size(), header: decodeHeader(bytes) };
  } finally {
    file.close();
  }
}

class Surveyor {
  readonly #ackedSeq: number;
  readonly #checkpointedSeq: number;
  #lastSeq: number;
  #lastAcceptedMs: number;
  readonly #cacheCurrent: boolean;
  readonly #settled: Settled | undefined;
  #records = 0;
  #unacked = 0;
  readonly #segments: Segment[] = [];
  readonly #damage: DamageReport[] = [];
  readonly #unreadable: string[] = [];

  constructor(
    private readonly fs: JournalFileSystem,
    private readonly dir: string,
    private readonly instance: string | undefined,
    checkpoint: Checkpoint | "damaged" | undefined,
    private readonly onUnacked: (entry: Entry) => void,
  ) {
    if (checkpoint === "damaged") {
      this.#report("damaged", CHECKPOINT_FILE, 0, 0);
      checkpoint = undefined;
    } else if (checkpoint !== undefined) this.#refuseForeign(checkpoint.instance, CHECKPOINT_FILE);
    this.#ackedSeq = this.#lastSeq = checkpoint?.ackedSeq ?? 0;
    this.#checkpointedSeq = checkpoint?.lastSeq ?? 0;
    this.#lastAcceptedMs = checkpoint?.lastAcceptedMs ?? 0;
    this.#cacheCurrent = checkpoint?.cacheCurrent === true;
    this.#settled = checkpoint?.settled;
  }

  async visit(found: Found, next: Found | undefined): Promise<void> {
    const { name, size, header } = found;
    if (header === undefined) return this.#withoutHeader(found, next);
    this.#refuseForeign(header.instance, name);
    if (header.firstSeq <= (this.#segments.at(-1)?.lastSeq ?? 0)) throw this.#overlap(name);
    if (header.previousSeq > this.#lastSeq) this.#report("damaged", `missing before ${name}`, 0, 0);
    this.#lastAcceptedMs = Math.max(this.#lastAcceptedMs, header.lastAcceptedMs);

    const segment = new Segment(this.fs, this.dir, name, header);
    segment.end = size;
    this.#segments.push(segment);
    try {
      await this.#readRecords(
        segment,
        next && (next.header?.previousSeq ?? firstSeqOf(next.name)! - 1),
      );
    } finally {
      await segment.close();
    }
    // An empty one proves only what was durable before it: the numbers up to its first record were
    // lost with their group.
    const proven = segment.lastSeq >= header.firstSeq ? segment.lastSeq : header.previousSeq;
    this.#lastSeq = Math.max(this.#lastSeq, proven);
  }

  finish(): Omit<Survey, "aborted"> {
    if (this.#checkpointedSeq > this.#lastSeq) {
      this.#report(
        "damaged",
        `missing after ${this.#segments.at(-1)?.name ?? CHECKPOINT_FILE}`,
        0,
        0,
      );
    }
    return {
      instance: this.instance,
      ackedSeq: this.#ackedSeq,
      lastSeq: Math.max(this.#lastSeq, this.#checkpointedSeq),
      lastAcceptedMs: this.#lastAcceptedMs,
      cacheCurrent: this.#cacheCurrent,
      settled: this.#settled,
      records: this.#records,
      unacked: this.#unacked,
      segments: this.#segments,
      damage: this.#damage,
      unreadable: this.#unreadable,
    };
  }

  /**
   * @param endSeq the last number before the segment that follows; undefined in the last segment
   */
  async #readRecords(segment: Segment, endSeq: number | undefined): Promise<void> {
    let from = HEADER_BYTES;
    while (from < segment.end) {
      const expectedSeq = segment.lastSeq + 1;
      const { records, offsets, damage, next } = await segment.read({
        from,
        end: segment.end,
        expectedSeq,
      });
      records.forEach((entry, i) => this.#count(segment, entry, offsets[i]!));
      if (damage !== undefined) this.#judge(segment, damage, endSeq);
      from = next;
    }
  }

  #count(segment: Segment, entry: Entry, offset: number): void {
    this.#records++;
    segment.lastSeq = entry.seq;
    this.#lastAcceptedMs = Math.max(this.#lastAcceptedMs, entry.acceptedMs);
    if (entry.seq <= this.#ackedSeq) return;
    this.#unacked++;
    segment.index(entry.seq, offset, entry.acceptedMs);
    this.onUnacked(entry);
  }

  /**
   * Torn is only what no durable record can have been: the end of the last segment, past what a
   * checkpoint knew of.
   */
  #judge(segment: Segment, damage: Damage, endSeq: number | undefined): void {
    const torn = damage.nextSeq === undefined && endSeq === undefined &&
      damage.expectedSeq > this.#checkpointedSeq;
    if (torn) {
      this.#report("torn-tail", segment.name, damage.from, damage.to - damage.from);
      segment.end = damage.from;
      return;
    }
    segment.noteDamage(damage);
    const lastLostSeq = damage.nextSeq === undefined
      ? endSeq ?? this.#checkpointedSeq
      : damage.nextSeq - 1;
    segment.lastSeq = Math.max(segment.lastSeq, lastLostSeq);
    // What the store has anyway is no loss.
    if (lastLostSeq <= this.#ackedSeq) return;
    this.#report("damaged", segment.name, damage.from, damage.to - damage.from);
  }

  #withoutHeader(found: Found, next: Found | undefined): void {
    this.#unreadable.push(found.name);
    this.#report("damaged", found.name, 0, found.size);
    const mostRecords = Math.floor(Math.max(0, found.size - HEADER_BYTES) / MIN_RECORD_BYTES);
    const lastSeq = next?.header?.previousSeq ?? firstSeqOf(found.name)! - 1 + mostRecords;
    this.#lastSeq = Math.max(this.#lastSeq, lastSeq);
  }

  #report(kind: DamageReport["kind"], segment: string, offset: number, bytes: number): void {
    this.#damage.push({ kind, segment, offset, bytes });
  }

  #refuseForeign(instance: string, name: string): void {
    if (instance === this.instance) return;
    throw new AppError(
      "journal-failed",
      `Cannot open the journal in ${this.dir}: ${name} belongs to instance ${instance}, the directory to ${
        this.instance ?? "none (its file instance is missing)"
      }. Put back the files that belong together.`,
    );
  }

  #overlap(name: string): AppError {
    return new AppError(
      "journal-failed",
      `Cannot open the journal in ${this.dir}: ${name} begins before the segment ahead of it ends. Put back the files that belong together.`,
    );
  }
}
