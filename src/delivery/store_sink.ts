/**
 * Brings batches to the store. A batch goes there in slices, each a transaction that also moves the
 * mark of its source: what the mark passes is there for good, and a repeat after a lost answer
 * writes nothing twice. The size of a slice follows what the store can take within its deadline.
 */
import { type Entry, writeId } from "../domain.ts";
import { StoreNotAskedError, StoreRefusesError, StoreWentBackError } from "../errors.ts";
import type { RefusedEntry } from "../ports/dead_letters.ts";
import { type Clock, systemClock } from "../ports/clock.ts";
import type { Delivered, Sink } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";
import type { PutResult, Store } from "../ports/store.ts";
import { type Log, traceFields } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { RefusedRowsLog } from "../telemetry/refused_rows_log.ts";

interface StoreSinkParts {
  readonly store: Pick<Store, "open" | "marks" | "put">;
  readonly metrics: Metrics;
  readonly log: Log;
  /** It times log lines; the process's is the default. */
  readonly clock?: Pick<Clock, "monotonicMs">;
}

/** The batch that was brought last is so far, whether or not it came to its end. */
interface Progress {
  batch: Batch;
  /** It is the index of the first entry that is not dealt with. */
  next: number;
  /** This sink knows these entries to be rows of the store. */
  stored: readonly Entry[];
  dead: readonly RefusedEntry[];
}

export class StoreSink implements Sink {
  /** One transaction has so many rows: each failure halves them, each success doubles them. */
  #sliceRows: number;
  /** It says why rows are refused, or why the store refuses to say what it has. */
  #refusal: string | undefined;
  #marksRefusal: string | undefined;
  /** The store told these marks last. A mark never goes back by itself. */
  readonly #confirmed = new Map<string, number>();
  /** These sources have a mark in the store, as far as is known since the last failure. */
  #opened = new Set<string>();
  /** This sink has sent each source to the store through this number. */
  readonly #sent = new Map<string, number>();
  #progress: Progress | undefined;
  readonly #refusedRows: RefusedRowsLog;

  /**
   * Asks the store for nothing before the first call.
   * @param maxRows of one transaction
   */
  constructor(private readonly maxRows: number, private readonly parts: StoreSinkParts) {
    this.#sliceRows = maxRows;
    this.#refusedRows = new RefusedRowsLog(parts.log, parts.clock ?? systemClock);
  }

  get refusal(): string | undefined {
    return this.#refusal ?? this.#marksRefusal;
  }

  async marks(sources: Iterable<string>): Promise<ReadonlyMap<string, number>> {
    const asked = [...sources];
    const marks = await this.#askMarks(asked);
    this.#opened = new Set(marks.keys());
    for (const source of asked) {
      const mark = marks.get(source) ?? 0;
      this.#confirmed.set(source, mark);
      if (this.#progress?.batch.source === source) takeBack(this.#progress, mark);
    }
    return marks;
  }

  async #askMarks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    try {
      const marks = await this.parts.store.marks(sources);
      this.#marksRefusal = undefined;
      return marks;
    } catch (error) {
      if (error instanceof StoreRefusesError) this.#marksRefusal = error.message;
      throw error;
    }
  }

  async deliver(batch: Batch, onSent?: () => void): Promise<Delivered> {
    const { source, entries } = batch;
    const progress = this.#progressOf(batch);
    try {
      if (!this.#opened.has(source)) await this.#open(source);
      this.#passOver(batch, progress);
      while (progress.next < entries.length) {
        const end = progress.next + this.#sliceRows;
        const isAll = progress.next === 0 && end >= entries.length;
        const slice = isAll ? entries : entries.slice(progress.next, end);
        this.#landed(progress, slice, await this.#put(batch, slice, onSent));
      }
    } catch (error) {
      this.#failed(error, batch);
      throw error;
    }
    this.#refusal = undefined;
    return { stored: progress.stored, dead: progress.dead };
  }

  /**
   * Returns how far a batch is: one that is brought again goes on where it was, also when it has
   * grown at its end.
   */
  #progressOf(batch: Batch): Progress {
    const last = this.#progress?.batch;
    const isSame = last?.source === batch.source && last.entries[0]!.seq === batch.entries[0]!.seq;
    if (this.#progress === undefined || !isSame) {
      this.#progress = { batch, next: 0, stored: [], dead: [] };
    }
    this.#progress.batch = batch;
    return this.#progress;
  }

  /** Makes the mark of a source that has none. */
  async #open(source: string): Promise<void> {
    const mark = await this.parts.store.open(source);
    const confirmedSeq = this.#confirmedOf(source);
    // Whoever keeps the entries has to hear of it before anything is put behind the gap.
    if (mark < confirmedSeq) throw new StoreWentBackError(`${mark} is below ${confirmedSeq}`);
    this.#confirmed.set(source, mark);
    this.#opened.add(source);
  }

  /**
   * Passes over what was sent by an earlier run and stored: as far as the mark goes it needs no
   * transaction, and nobody here knows which of it was refused. What this sink has sent is put
   * again all the same: the store leaves it out, and says what became of it.
   */
  #passOver({ source, entries }: Batch, progress: Progress): void {
    const mark = this.#confirmedOf(source);
    const sentSeq = this.#sent.get(source) ?? 0;
    const first = entries.findIndex(({ seq }) => seq > mark || seq <= sentSeq);
    progress.next = Math.max(progress.next, first === -1 ? entries.length : first);
  }

  async #put(
    { source, lostThroughSeq }: Batch,
    slice: readonly Entry[],
    onSent?: () => void,
  ): Promise<PutResult> {
    this.#sent.set(source, Math.max(this.#sent.get(source) ?? 0, slice.at(-1)!.seq));
    const confirmedSeq = this.#confirmedOf(source);
    return await this.parts.store.put(source, slice, confirmedSeq, onSent, lostThroughSeq);
  }

  #landed(progress: Progress, slice: readonly Entry[], { rows, dead }: PutResult): void {
    const { metrics } = this.parts;
    const { source } = progress.batch;
    metrics.batchRows.observe(slice.length);
    metrics.flushRows.inc({ outcome: "ok" }, rows);
    this.#refusal = undefined;
    this.#sliceRows = Math.min(this.maxRows, this.#sliceRows * 2);
    this.#confirmed.set(source, Math.max(slice.at(-1)!.seq, this.#confirmedOf(source)));
    progress.stored = joined(progress.stored, dead.length === 0 ? slice : without(slice, dead));
    progress.dead = joined(progress.dead, dead);
    progress.next += slice.length;
    if (dead.length > 0) this.#reportDead(slice, dead);
  }

  #failed(error: unknown, batch: Batch): void {
    if (error instanceof StoreRefusesError) {
      this.#refusal = error.message;
      // Few rows that are refused are no proof against the table.
      this.#sliceRows = this.maxRows;
    } else if (!(error instanceof StoreNotAskedError)) {
      // A store too slow for so many rows within its deadline must not be asked for the same again
      // for ever.
      const asked = Math.min(this.#sliceRows, batch.entries.length);
      this.#sliceRows = Math.max(1, Math.floor(asked / 2));
    }
    // The store may have come back as another one: its marks are asked for before the next put.
    this.#opened.clear();
  }

  #confirmedOf(source: string): number {
    return this.#confirmed.get(source) ?? 0;
  }

  #reportDead(slice: readonly Entry[], dead: readonly RefusedEntry[]): void {
    const { metrics } = this.parts;
    metrics.flushRows.inc({ outcome: "dead" }, dead.length);
    this.#refusedRows.note(dead, (seq) => {
      const entry = slice.find((entry) => entry.seq === seq);
      return { writeId: entry && writeId(entry), ...traceFields(entry?.trace) };
    });
  }
}

/** The lists stay as they are: one of them may be the whole batch. */
function joined<T>(first: readonly T[], second: readonly T[]): readonly T[] {
  return first.length === 0 ? second : second.length === 0 ? first : [...first, ...second];
}

function without(entries: readonly Entry[], dead: readonly RefusedEntry[]): Entry[] {
  const refused = new Set(dead.map(({ seq }) => seq));
  return entries.filter(({ seq }) => !refused.has(seq));
}

/**
 * Takes back what the store had confirmed above `mark`, through which alone it has the source: that
 * is to be put again.
 */
function takeBack(progress: Progress, mark: number): void {
  progress.stored = progress.stored.filter(({ seq }) => seq <= mark);
  progress.dead = progress.dead.filter(({ seq }) => seq <= mark);
  const first = progress.batch.entries.findIndex(({ seq }) => seq > mark);
  if (first !== -1) progress.next = Math.min(progress.next, first);
}
