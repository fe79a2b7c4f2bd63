/**
 * Tells once more of what was settled, and is not any more. What is here of it is read for that; if
 * a read fails, the telling goes on from there later.
 */
import type { Entry } from "../domain.ts";
import type { SourceProgress } from "./progress.ts";
import type { Damage } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

interface Part {
  readonly segment: Segment;
  /** It was told through this number … */
  afterSeq: number;
  /** … of what is to be told through that one. */
  readonly throughSeq: number;
  /** Found in it, and not put aside yet: the segment remembers it, and does not tell it again. */
  readonly damaged: Damage[];
}

interface RetellingListener {
  readonly tell: (entry: Entry) => void;
  readonly lose: (segment: Segment, damage: Damage) => Promise<void>;
  /** It is told that a segment ends before it should, and that no segment has these numbers. */
  readonly loseEnd: (segment: Segment, afterSeq: number, throughSeq: number) => void;
  /**
   * It is told that somebody removed the file.
   * @param entries so many were to be told
   */
  readonly loseSegment: (segment: Segment, afterSeq: number, entries: number) => void;
}

interface Retold {
  readonly entries: number;
  /** It is the last number of what was not there; undefined when all was. */
  readonly lostSeq: number | undefined;
}

export class Retelling {
  readonly #parts: Part[] = [];

  constructor(private readonly listener: RetellingListener) {}

  add(segment: Segment, afterSeq: number, throughSeq: number): void {
    if (segment.count(afterSeq, throughSeq) > 0) {
      this.#parts.push({ segment, afterSeq, throughSeq, damaged: [] });
    }
  }

  /** Tells what there is to tell, in order. @throws whatever the disk says */
  async tellAll(): Promise<Retold> {
    let entries = 0;
    let lostSeq: number | undefined;
    for (let part; (part = this.#parts[0]) !== undefined; this.#parts.shift()) {
      try {
        const told = await this.#tellPart(part);
        entries += told.entries;
        lostSeq = told.lostSeq ?? lostSeq;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        // Settled segments are not looked after, so that nobody has noticed.
        const { segment, afterSeq, throughSeq } = part;
        lostSeq = segment.lastSeq;
        this.listener.loseSegment(segment, afterSeq, segment.count(afterSeq, throughSeq));
      }
    }
    return { entries, lostSeq };
  }

  async #tellPart(part: Part): Promise<Retold> {
    const { segment, throughSeq, damaged } = part;
    let entries = 0;
    await segment.scan({
      entry: (entry) => {
        if (entry.seq <= part.afterSeq || entry.seq > throughSeq) return;
        part.afterSeq = entry.seq;
        entries++;
        this.listener.tell(entry);
      },
      damage: (damage) => {
        if (!segment.knowsDamageAt(damage.from)) damaged.push(damage);
        return (damage.nextSeq ?? segment.lastSeq + 1) - 1;
      },
    });
    for (let damage; (damage = damaged[0]) !== undefined; damaged.shift()) {
      await this.listener.lose(segment, damage);
    }
    let lostSeq: number | undefined;
    if (segment.count(part.afterSeq, throughSeq) > 0) {
      // The headers at the start said that it goes on: it was cut, or what followed it was removed.
      lostSeq = Math.min(throughSeq, segment.lastSeq);
      this.listener.loseEnd(segment, part.afterSeq, lostSeq);
      part.afterSeq = lostSeq;
    }
    // From here on it is looked after again.
    await segment.hold();
    return { entries, lostSeq };
  }
}

/** Returns the last number after `seq` of what was durable and is in no segment any more. */
export function missingThrough(
  segments: Segments,
  { source, settledSeq }: SourceProgress,
  seq: number,
): number | undefined {
  let before: Segment | undefined;
  for (const segment of segments) {
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
