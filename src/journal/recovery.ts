/**
 * Brings a journal's directory into order at start, by what the survey found: it cuts, puts into
 * quarantine and removes. No other code changes old segments.
 */
import { join } from "node:path";
import type { Entry } from "../domain.ts";
import { CHECKPOINT_FILE, createInstance, readInstance, writeCheckpoint } from "./checkpoint.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import { moveToQuarantine, quarantine } from "./quarantine.ts";
import type { Segment } from "./segment.ts";
import { ordinalOf, syncFile } from "./segment_file.ts";
import { Segments } from "./segments.ts";
import { type DamageReport, type Survey, survey } from "./survey.ts";

/**
 * Each of them takes a file descriptor. More are there only after as many starts during which the
 * store took nothing.
 */
const HELD_SEGMENTS_MAX = 512;

export interface Recovered extends Omit<Survey, "segments"> {
  readonly instance: string;
  readonly segments: Segments;
}

interface RecoveryOptions {
  readonly fs: JournalFileSystem;
  readonly dir: string;
  /** It names the run that begins. */
  readonly run: string;
  /** It is true when what is settled stays, to be sent again should the store go back. */
  readonly keepsSettled: boolean;
  readonly monotonicMs: () => number;
  /** It is called in order with every entry that the store may not have. */
  readonly onUnsettled: (entry: Entry) => void;
}

/**
 * Recovers the journal in `dir`, under its lock.
 * @throws AppError `journal-failed` for what only a person can decide
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { fs, dir, run, onUnsettled } = options;
  const known = await readInstance(fs, dir);
  if (known === undefined && !(await holdsJournal(fs, dir))) await createInstance(fs, dir);
  const found = await survey(fs, dir, { onUnsettled });
  for (const report of found.damage) await quarantineReported(fs, dir, found, report);
  const newest = found.segments.at(-1);
  if (newest !== undefined) await cutAndSync(fs, newest);
  const { progress } = found;
  // The run is named from the start, so that a later one can tell which of its numbers a crash
  // took.
  progress.set(progress.of(run));
  const segments = new Segments(fs, dir, found.segments, progress, options.monotonicMs);
  if (found.unsettled === 0) segments.finishAll();
  const instance = found.instance!;
  const { lastAcceptedMs, ordinal, last, oldLastSeq, withdrawn } = found;
  await writeCheckpoint(fs, dir, {
    instance,
    lastAcceptedMs,
    ordinal,
    last: { ...last, segment: segments.end },
    withdrawn: withdrawn.intervals,
    ...segments.checkpoint(oldLastSeq),
  });
  for (const name of found.unreadable) await moveToQuarantine(fs, dir, name);
  for (const name of found.aborted) await fs.remove(join(dir, name));
  if (found.aborted.length > 0) await fs.syncDirectory(dir);
  await segments.remove(segments.disposable(options.keepsSettled ? Infinity : 0));
  await segments.hold(HELD_SEGMENTS_MAX);
  return { ...found, instance, segments };
}

async function holdsJournal(fs: JournalFileSystem, dir: string): Promise<boolean> {
  return (await fs.list(dir)).some((name) =>
    name === CHECKPOINT_FILE || ordinalOf(name) !== undefined
  );
}

async function quarantineReported(
  fs: JournalFileSystem,
  dir: string,
  found: Survey,
  report: DamageReport,
): Promise<void> {
  const segment = found.segments.find((candidate) => candidate.name === report.segment);
  if (segment === undefined || report.kind === "torn-tail") return;
  await quarantine(fs, dir, segment, report.offset, report.bytes);
  await segment.close();
}

/**
 * Cuts a torn tail. The segment is synced even when it is whole: after a kill its last records may
 * be in the page cache only, and from here on they count as durable.
 */
async function cutAndSync(fs: JournalFileSystem, segment: Segment): Promise<void> {
  const file = await fs.open(segment.path, "write");
  try {
    if (await file.size() > segment.end) await file.truncate(segment.end);
    await syncFile(file, segment.name);
  } finally {
    file.close();
  }
}
