/**
 * Knows how far each source is: what the store has of it, and what is not to be sent any more. A
 * source is one run of one instance, and the key of the store's mark.
 */

export interface SourceProgress {
  readonly source: string;
  /** The store was known to have everything through this number; it is 0 when nothing is known. */
  readonly settledSeq: number;
  /**
   * Nothing through this number waits for the store. It is above `settledSeq` where the numbers
   * between are damaged, were withdrawn, or went to another store.
   */
  readonly doneSeq: number;
  /** Nothing through this number is ever sent again: it belongs to another store. */
  readonly floorSeq: number;
}

/**
 * So many sources are remembered of which nothing is in the journal any more, so that their write
 * ids are known for a while; a start is one source.
 */
const REMEMBERED_MAX = 64;
/**
 * As many sources of which nothing is settled are named: they are starts in a row during which the
 * store took nothing, and clients wrote.
 */
const UNTOUCHED_MAX = 1_000;

export class Progress {
  /** They are in the order of the journal. */
  readonly #sources = new Map<string, SourceProgress>();

  constructor(known: Iterable<SourceProgress> = []) {
    for (const each of known) this.#sources.set(each.source, each);
  }

  /** Returns how far a source is; undefined for one that nobody remembers. */
  find(source: string): SourceProgress | undefined {
    return this.#sources.get(source);
  }

  of(source: string): SourceProgress {
    return this.#sources.get(source) ?? { source, settledSeq: 0, doneSeq: 0, floorSeq: 0 };
  }

  doneSeq(source: string): number {
    return this.#sources.get(source)?.doneSeq ?? 0;
  }

  set(progress: SourceProgress): void {
    this.#sources.set(progress.source, progress);
  }

  settle(source: string, seq: number): void {
    const before = this.of(source);
    if (seq <= before.doneSeq) return;
    this.set({ ...before, settledSeq: seq, doneSeq: seq });
  }

  /** Lets nothing through `seq` wait for the store, whatever became of it. */
  finish(source: string, seq: number): void {
    const before = this.of(source);
    if (seq > before.doneSeq) this.set({ ...before, doneSeq: seq });
  }

  /** Returns the last source of which something is settled. */
  lastSettled(): SourceProgress | undefined {
    return [...this.#sources.values()].findLast(({ settledSeq }) => settledSeq > 0);
  }

  /**
   * Returns what a checkpoint names: the sources of which something is in the journal and settled,
   * and of the others the latest, whose names tell that they are missing should their segments be.
   */
  remembered(inJournal: ReadonlySet<string>): SourceProgress[] {
    const all = [...this.#sources.values()];
    const inside = all.filter(({ source }) => inJournal.has(source));
    const kept = new Set([
      ...inside.filter(({ doneSeq }) => doneSeq > 0),
      ...inside.filter(({ doneSeq }) => doneSeq === 0).slice(-UNTOUCHED_MAX),
      ...all.filter(({ source }) => !inJournal.has(source)).slice(-REMEMBERED_MAX),
    ]);
    return all.filter((each) => kept.has(each));
  }
}
