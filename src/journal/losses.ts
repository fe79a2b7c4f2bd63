/** Puts aside, reports and remembers what is found damaged or missing while the journal is open. */
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { Progress } from "./progress.ts";
import { quarantine } from "./quarantine.ts";
import type { Damage } from "./scan.ts";
import type { Segment } from "./segment.ts";
import type { DamageReport } from "./survey.ts";
import type { Withdrawn } from "./withdrawn.ts";

export interface LossesOptions {
  readonly fs: JournalFileSystem;
  readonly dir: string;
  readonly progress: Progress;
  readonly withdrawn: Withdrawn;
  readonly onDamage: (report: DamageReport) => void;
}

export class Losses {
  constructor(private readonly options: LossesOptions) {}

  /**
   * Puts a damaged stretch aside. What of it is not settled never comes to the store: to call it
   * settled, once those after it are, would be a lie.
   * @param lastSeq the last number of the segment when it was read
   * @returns how many numbers are lost
   */
  async lose(segment: Segment, damage: Damage, lastSeq: number): Promise<number> {
    const { fs, dir, progress, withdrawn, onDamage } = this.options;
    const bytes = damage.to - damage.from;
    await quarantine(fs, dir, segment, damage.from, bytes);
    onDamage({ kind: "damaged", segment: segment.name, offset: damage.from, bytes });
    const firstLost = Math.max(damage.expectedSeq, progress.doneSeq(segment.source) + 1);
    const lastLost = damage.nextSeq === undefined ? lastSeq : damage.nextSeq - 1;
    if (lastLost < firstLost) return 0;
    withdrawn.add(segment.run, firstLost, lastLost);
    return lastLost - firstLost + 1;
  }

  /** Notes that a segment that was kept ends before these numbers, which no other one has. */
  loseEnd({ name, run, header, end }: Segment, afterSeq: number, throughSeq: number): void {
    const { withdrawn, onDamage } = this.options;
    onDamage({ kind: "damaged", segment: `missing after ${name}`, offset: end, bytes: 0 });
    withdrawn.add(run, Math.max(header.firstSeq, afterSeq + 1), throughSeq);
  }

  /**
   * Remembers a segment that was kept, and is needed beyond `afterSeq`, when somebody has removed
   * its file.
   */
  loseSegment({ name, run, header, lastSeq }: Segment, afterSeq: number): void {
    const { withdrawn, onDamage } = this.options;
    onDamage({ kind: "damaged", segment: `missing: ${name}`, offset: 0, bytes: 0 });
    withdrawn.add(run, Math.max(header.firstSeq, afterSeq + 1), lastSeq);
  }

  /**
   * Remembers numbers that the store lost, and that are not here any more. Of format 1 they may be
   * of another source, which has them still.
   */
  loseForGood(source: string, firstSeq: number, lastSeq: number): void {
    if (!source.includes("/")) this.options.withdrawn.add(source, firstSeq, lastSeq);
  }
}
