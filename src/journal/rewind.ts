/** Reads again what was settled once, of one source: what is still here of it, and what is not. */
import type { Entry } from "../domain.ts";
import type { SourceProgress } from "./progress.ts";
import type { Damage } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { Segments } from "./segments.ts";

/** Numbers after the one, through the other. */
export interface Stretch {
  readonly segments: Segments;
  readonly source: string;
  readonly afterSeq: number;
  readonly throughSeq: number;
}

/**
 * Tells the entries in order, and holds their segments, which are looked after again.
 * @returns how many, and the last number of the last segment that was not there
 * @throws whatever the disk says
 */
export async function tellAgain(
  { segments, source, afterSeq, throughSeq }: Stretch,
  tell: (entry: Entry) => void,
  lose: (segment: Segment, damage: Damage) => Promise<unknown>,
  loseSegment: (segment: Segment) => void,
): Promise<{ readonly entries: number; readonly lostSeq: number | undefined }> {
  let entries = 0;
  let lostSeq: number | undefined;
  for (const segment of [...segments]) {
    if (segment.source !== source || segment.lastSeq <= afterSeq) continue;
    try {
      const damaged = await scanAgain(segment, (entry) => {
        if (entry.seq <= afterSeq || entry.seq > throughSeq) return;
        entries++;
        tell(entry);
      });
      for (const damage of damaged) await lose(segment, damage);
      await segment.hold();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      // Settled segments are not looked after: somebody removed it.
      lostSeq = segment.lastSeq;
      segments.lose(segment);
      loseSegment(segment);
    }
  }
  return { entries, lostSeq };
}

/** Returns the damage that was not known before. */
async function scanAgain(segment: Segment, onEntry: (entry: Entry) => void): Promise<Damage[]> {
  const damaged: Damage[] = [];
  await segment.scan({
    entry: onEntry,
    damage: (damage) => {
      if (!segment.knowsDamageAt(damage.from)) damaged.push(damage);
      return (damage.nextSeq ?? segment.lastSeq + 1) - 1;
    },
  });
  return damaged;
}

/** The last number after `seq` of what was durable and is in no segment any more. */
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
