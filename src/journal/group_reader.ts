/**
 * Reads boundary groups out of the segments, beside the one place from which batches are taken. A
 * group is what the bytes say, from its first record through its last, whenever and however often it
 * is read, also when some of it is settled. Between two of them may be numbers that never became
 * durable, or are gone: a group without entries names those.
 */
import type { Entry } from "../domain.ts";
import type { GroupSource, ReadGroup } from "../ports/group_source.ts";
import type { Progress } from "./progress.ts";
import type { Stretch } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

interface Place {
  readonly segment: Segment;
  offset: number;
  /** It is the number of the record at `offset`. */
  seq: number;
}

interface GroupReaderOptions {
  readonly segments: Segments;
  readonly progress: Progress;
  /** Of this run further records may follow; those of others are all there. */
  readonly run: string;
  readonly isWanted: (source: string) => boolean;
  /** It is true where nothing past the first damage is to be read. */
  readonly endsAtDamage?: boolean;
}

export class GroupReader implements GroupSource {
  #marks: ReadonlyMap<string, number> = new Map();
  #place: Place | undefined;
  /** Each source was given through this number. */
  readonly #given = new Map<string, number>();
  /** These were read, and the last record of their group was not. */
  #begun: Entry[] = [];
  #ready: ReadGroup[] = [];
  /** What is read next follows damage. */
  #isAfterDamage = false;
  #hasEnded = false;

  constructor(private readonly options: GroupReaderOptions) {}

  /** It met damage, past which it was not to read. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  restart(marks: ReadonlyMap<string, number>): void {
    this.#marks = marks;
    this.#place = undefined;
    this.#given.clear();
    this.#begun = [];
    this.#ready = [];
    this.#isAfterDamage = false;
  }

  async take(): Promise<ReadGroup | undefined> {
    while (this.#ready.length === 0 && await this.#readOn());
    return this.#ready.shift();
  }

  /** Resolves to false when there is nothing more to read for now. */
  async #readOn(): Promise<boolean> {
    if (this.#hasEnded) return false;
    const place = this.#nextPlace();
    if (place === undefined) return false;
    const { segment, offset, seq } = place;
    // Both are read before the records are, as more may become durable meanwhile.
    const { end, lastSeq } = segment;
    let stretch: Stretch;
    try {
      stretch = await segment.read({ from: offset, end, expectedSeq: seq });
    } catch (error) {
      // The store has all of it meanwhile.
      if (segment.removed) return true;
      throw error;
    }
    // It was told to begin anew meanwhile.
    if (this.#place === place) this.#pass(place, stretch, lastSeq);
    return true;
  }

  #pass(place: Place, { records, groupEnds, damage, next }: Stretch, lastSeq: number): void {
    const { segment } = place;
    // Format 1 knew no groups.
    const ends = segment.header.format === 1 ? records.keys() : groupEnds;
    let from = 0;
    for (const end of ends) {
      this.#begun.push(...records.slice(from, end + 1));
      this.#endGroup(segment);
      from = end + 1;
    }
    this.#begun.push(...records.slice(from));
    place.offset = next;
    place.seq += records.length;
    if (damage === undefined) return;
    if (this.options.endsAtDamage) {
      this.#hasEnded = true;
      return;
    }
    // Where the group ended cannot be read any more. What is damaged belongs to the next one.
    this.#endGroup(segment, true);
    this.#isAfterDamage = true;
    place.seq = damage.nextSeq ?? lastSeq + 1;
  }

  #endGroup({ source }: Segment, isDamaged = false): void {
    const last = this.#begun.at(-1)?.seq ?? 0;
    const through = this.#throughOf(source);
    if (last > through) {
      const doubt = isDamaged || this.#isAfterDamage ? { isDoubtful: true } as const : {};
      const first = Math.max(this.#begun[0]!.seq, this.options.progress.of(source).floorSeq + 1);
      if (first > through + 1) {
        this.#ready.push({ source, first: through + 1, last: first - 1, entries: [], ...doubt });
      }
      const entries = this.#begun.filter(({ seq }) => seq >= first);
      this.#ready.push({ source, first, last, entries, ...doubt });
      this.#given.set(source, last);
      this.#isAfterDamage = false;
    }
    this.#begun = [];
  }

  #throughOf(source: string): number {
    const { settledSeq } = this.options.progress.of(source);
    return Math.max(this.#given.get(source) ?? 0, settledSeq, this.#marks.get(source) ?? 0);
  }

  #nextPlace(): Place | undefined {
    const current = this.#place;
    if (current !== undefined && !current.segment.removed) {
      if (current.offset < current.segment.end) return current;
      // A crash cut off the end of its last group.
      if (current.segment.run !== this.options.run) this.#endGroup(current.segment);
    }
    const segment = this.#segmentAfter(current?.segment);
    if (segment === undefined) return undefined;
    this.#begun = [];
    // Where the group begins that is settled in part is known by reading from the beginning.
    const signpost = segment.signpostFor(0);
    return this.#place = signpost && { segment, offset: signpost.offset, seq: signpost.seq };
  }

  #segmentAfter(current: Segment | undefined): Segment | undefined {
    const { segments, isWanted } = this.options;
    // A segment is removed only when it and all before it are settled.
    let passed = current === undefined || current.removed;
    for (const segment of segments) {
      const isNext = passed && isWanted(segment.source) && !segments.isSettled(segment);
      if (isNext && segment.signpostFor(0) !== undefined) return segment;
      passed ||= segment === current;
    }
    return undefined;
  }
}
