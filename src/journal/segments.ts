/**
 * Keeps the segments of a journal, in order: how many bytes they hold, which of them hold only what
 * is settled, since when, and which may go.
 */
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { Checkpoint, LastRecord } from "./checkpoint.ts";
import type { Progress } from "./progress.ts";
import type { Segment } from "./segment.ts";

/**
 * A checkpoint names the source of each segment that is kept: more of them are given up, the oldest
 * first, however long they were to be kept.
 */
const RETAINED_SOURCES_MAX = 500;

export class Segments implements Iterable<Segment> {
  readonly #list: Segment[];
  /** Nothing of these waits for the store, since that time by the monotonic clock. */
  readonly #settledSince = new Map<Segment, number>();
  #bytes: number;
  #settledBytes = 0;

  constructor(
    private readonly fs: JournalFileSystem,
    private readonly dir: string,
    found: readonly Segment[],
    private readonly progress: Progress,
    private readonly monotonicMs: () => number,
  ) {
    this.#list = [...found];
    this.#bytes = found.reduce((sum, segment) => sum + segment.end, 0);
    this.noteProgress();
  }

  [Symbol.iterator](): Iterator<Segment> {
    return this.#list[Symbol.iterator]();
  }

  /** Returns the segment that has a durable number; undefined when none has. */
  find(run: string, seq: number): Segment | undefined {
    const found = this.#list.find((segment) => segment.run === run && segment.lastSeq >= seq);
    return found !== undefined && found.header.firstSeq <= seq ? found : undefined;
  }

  /**
   * Returns the sources of the segments, in order.
   * @param areWaiting only those of which the store may lack something
   */
  sources(areWaiting: boolean): readonly string[] {
    const chosen = this.#list.filter((segment) => !areWaiting || !this.isSettled(segment));
    return [...new Set(chosen.map(({ source }) => source))];
  }

  /** So many bytes are on disk. */
  get bytes(): number {
    return this.#bytes;
  }

  /** So many of these are in segments of which nothing waits for the store. */
  get settledBytes(): number {
    return this.#settledBytes;
  }

  add(segment: Segment): void {
    this.#list.push(segment);
    this.#bytes += segment.end;
  }

  /** Is told that the segment has so many durable bytes more, of entries that are not settled. */
  grew(segment: Segment, bytes: number): void {
    this.#bytes += bytes;
    if (this.#settledSince.delete(segment)) this.#settledBytes -= segment.end - bytes;
  }

  isSettled(segment: Segment): boolean {
    return segment.empty || segment.readableThrough <= this.progress.doneSeq(segment.source);
  }

  /**
   * Looks anew which segments are settled. It has to be called when sources were settled or
   * rewound.
   */
  noteProgress(): void {
    const nowMs = this.monotonicMs();
    this.#settledBytes = 0;
    for (const segment of this.#list) {
      if (!this.isSettled(segment)) {
        this.#settledSince.delete(segment);
        continue;
      }
      this.#settledBytes += segment.end;
      if (!this.#settledSince.has(segment)) this.#settledSince.set(segment, nowMs);
    }
  }

  /**
   * Calls all sources done when nothing waits for the store: what was withdrawn or damaged does not
   * either.
   */
  finishAll(): void {
    for (const { source, lastSeq } of this.#list) this.progress.finish(source, lastSeq);
    this.noteProgress();
  }

  /**
   * Returns the segments that need not be kept, but for the one that is being written.
   * @param retainMs so long they are kept after all of them was settled
   */
  disposable(retainMs: number, active?: Segment): Segment[] {
    const nowMs = this.monotonicMs();
    const settled = [...this.#settledInOrder(active)];
    const sources = [...new Set(settled.map(({ source }) => source))];
    const kept = new Set(sources.slice(-RETAINED_SOURCES_MAX));
    return settled.filter((segment) => {
      const { source, lastSeq, empty } = segment;
      return empty || lastSeq <= this.progress.of(source).floorSeq || !kept.has(source) ||
        nowMs - this.#settledSince.get(segment)! >= retainMs;
    });
  }

  /**
   * Returns the oldest settled segments, as many as have to go until at most `maxBytes` are left.
   */
  oldestAbove(maxBytes: number, active?: Segment): Segment[] {
    const chosen: Segment[] = [];
    let bytes = this.#bytes;
    for (const segment of this.#settledInOrder(active)) {
      if (bytes <= maxBytes) break;
      chosen.push(segment);
      bytes -= segment.end;
    }
    return chosen;
  }

  /**
   * Removes segments. It may be called only after a checkpoint that says that they are settled is
   * durable.
   */
  async remove(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      await segment.remove();
      this.lose(segment);
    }
    if (segments.length > 0) await this.fs.syncDirectory(this.dir);
  }

  /** Opens the segments that are not settled, at most `max`. */
  async hold(max: number): Promise<void> {
    const waiting = this.#list.filter((segment) => !this.#settledSince.has(segment));
    for (const segment of waiting.slice(0, max)) await segment.hold();
  }

  /**
   * Says what {@link JournalFile.displaced} does of the first segment that is displaced, and is
   * needed: because something in it waits, or because it is being written.
   */
  displaced(active: Segment | undefined): string | undefined {
    for (const segment of this.#list) {
      const needed = segment === active || !this.#settledSince.has(segment);
      const reason = needed ? segment.displaced() : undefined;
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  /** Returns what the segments add to a checkpoint. */
  checkpoint(oldLastSeq: number): Pick<Checkpoint, "oldDoneSeq" | "oldLastSeq" | "sources"> {
    const old = this.#list.filter(({ header }) => header.format === 1);
    const waiting = old.find((segment) => !this.isSettled(segment));
    const inJournal = new Set(this.#list.map(({ source }) => source));
    return {
      oldDoneSeq: waiting === undefined
        ? oldLastSeq
        : Math.max(waiting.header.firstSeq - 1, this.progress.doneSeq(waiting.source)),
      oldLastSeq,
      sources: this.progress.remembered(inJournal),
    };
  }

  /**
   * It says where the last segment ends now, for a later start to know whether more was written.
   */
  get end(): LastRecord["segment"] {
    const last = this.#list.at(-1);
    return last && { name: last.name, end: last.end };
  }

  async close(): Promise<void> {
    for (const segment of this.#list) await segment.close();
  }

  /** Drops a segment whose file is gone already. */
  lose(segment: Segment): void {
    const index = this.#list.indexOf(segment);
    if (index < 0) return;
    this.#list.splice(index, 1);
    this.#bytes -= segment.end;
    if (this.#settledSince.delete(segment)) this.#settledBytes -= segment.end;
  }

  *#settledInOrder(active: Segment | undefined): Iterable<Segment> {
    for (const segment of this.#list) {
      if (segment !== active && this.#settledSince.has(segment)) yield segment;
    }
  }
}
