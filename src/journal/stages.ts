/** Says what became of a number, by what the journal remembers and without a look at the disk. */
import type { Stage } from "../ports/intake.ts";
import type { Progress } from "./progress.ts";
import type { Recovered } from "./recovery.ts";
import type { Segment } from "./segment.ts";

interface CurrentRun {
  readonly run: string;
  readonly acceptedSeq: number;
  readonly durableSeq: number;
}

type Memory = Pick<
  Recovered,
  "instance" | "oldLastSeq" | "progress" | "segments" | "withdrawn"
>;

export function stageOf(run: string, seq: number, current: CurrentRun, memory: Memory): Stage {
  const { progress, segments, withdrawn } = memory;
  if (run === current.run && seq > current.acceptedSeq) return "unknown";
  const gone = withdrawn.has(run, seq);
  if (gone === true) return "withdrawn";
  if (run === current.run && seq > current.durableSeq) return "accepted";
  const segment = segments.find(run, seq);
  if (segment !== undefined) return stageIn(segment, seq, progress);
  // In a blurred interval nobody knows any more whether it was withdrawn or settled.
  if (gone === undefined) return "unknown";
  return run === memory.instance ? oldStage(seq, memory) : stageOfGone(run, seq, progress);
}

function stageIn(segment: Segment, seq: number, progress: Progress): Stage {
  return seq <= progress.doneSeq(segment.source) ? "settled" : "durable";
}

/** Judges a number of format 1, which is settled with the last segment that has it. */
function oldStage(seq: number, { oldLastSeq }: Memory): Stage {
  if (oldLastSeq === 0) return "unknown";
  return seq <= oldLastSeq ? "settled" : "withdrawn";
}

/** Judges a number of an earlier run: past the last durable one are those that a crash took. */
function stageOfGone(run: string, seq: number, progress: Progress): Stage {
  const known = progress.find(run);
  if (known === undefined) return "unknown";
  return seq <= known.doneSeq ? "settled" : "withdrawn";
}
