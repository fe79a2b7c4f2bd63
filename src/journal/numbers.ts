/**
 * Gathers what a survey learns of numbers: the last durable one of every run, those that were
 * withdrawn, and whether some are missing. The runs of format 1 count as one, whose name is the
 * instance.
 */
import type { Checkpoint, LastRecord } from "./checkpoint.ts";
import { HEADER_BYTES, type SegmentHeader } from "./codec.ts";
import { MIN_RECORD_BYTES } from "./record.ts";
import { Withdrawn } from "./withdrawn.ts";

export class Numbers {
  readonly withdrawn: Withdrawn;
  readonly #lastSeqs = new Map<string, number>();
  #last: LastRecord;
  #oldLastSeq: number;

  constructor(private readonly instance: string, private readonly checkpoint?: Checkpoint) {
    this.withdrawn = new Withdrawn(checkpoint?.withdrawn);
    this.#last = { run: checkpoint?.last.run ?? "", seq: checkpoint?.last.seq ?? 0 };
    this.#oldLastSeq = checkpoint?.oldLastSeq ?? 0;
    for (const { source, doneSeq } of checkpoint?.sources ?? []) {
      const run = source.startsWith(`${instance}/`) ? instance : source;
      this.#lastSeqs.set(run, Math.max(doneSeq, this.lastSeq(run)));
    }
    // A number of format 1 is not called durable only because it was once: its segments have to be
    // there.
    if (checkpoint !== undefined) {
      this.#lastSeqs.set(instance, Math.max(checkpoint.oldDoneSeq, this.lastSeq(instance)));
    }
  }

  /** Returns the last durable number that is here, or was settled; 0 when none is known. */
  lastSeq(run: string): number {
    return this.#lastSeqs.get(run) ?? 0;
  }

  get last(): LastRecord {
    return this.#last;
  }

  get oldLastSeq(): number {
    return Math.max(this.#oldLastSeq, this.lastSeq(this.instance));
  }

  /** Returns true when the record that came before a segment is neither here nor settled. */
  misses({ instance, format, run, previousRun, previousSeq }: SegmentHeader): boolean {
    if (this.lastSeq(previousRun) >= previousSeq) return false;
    const own = previousRun === (format === 1 ? instance : run);
    // Runs long gone are forgotten, so that of another run only what is known of it can be missing.
    return own || this.#lastSeqs.has(previousRun);
  }

  /** Accounts for what came before a segment of `run` with this header, which follows. */
  precede(run: string, header: SegmentHeader): void {
    const { firstSeq, previousRun, previousSeq } = header;
    this.accountFor(header);
    // Format 1 begins its numbers anew never, format 2 with each run.
    const from = previousRun === run ? previousSeq + 1 : header.format === 2 ? 1 : firstSeq;
    if (from < firstSeq) this.withdrawn.add(run, from, firstSeq - 1);
  }

  /**
   * Sees to it that the record that came before a segment is not missed again, whatever became of
   * it.
   */
  accountFor(header: SegmentHeader): void {
    const { previousRun, previousSeq } = header;
    if (this.misses(header)) this.lose(previousRun, previousSeq);
    if (previousSeq > 0) this.reach(previousRun, previousSeq);
  }

  /** Calls withdrawn what is missing through this number, as it never comes to the store. */
  lose(run: string, lastSeq: number): void {
    // Without a checkpoint nobody knows what was settled, and removed for that.
    if (this.checkpoint !== undefined) this.withdrawn.add(run, this.lastSeq(run) + 1, lastSeq);
  }

  reach(run: string, seq: number): void {
    this.#lastSeqs.set(run, Math.max(seq, this.lastSeq(run)));
    if (run !== this.#last.run || seq > this.#last.seq) this.#last = { run, seq };
  }

  /**
   * Notes that a segment of format 1 with this first number cannot be read, and nothing follows it.
   */
  mayHaveReached(firstSeq: number, bytes: number): void {
    const records = Math.floor(Math.max(0, bytes - HEADER_BYTES) / MIN_RECORD_BYTES);
    this.#oldLastSeq = Math.max(this.#oldLastSeq, firstSeq - 1 + records);
  }
}
