/**
 * Brings a journal's directory into order at start, by the survey: cut, quarantine, forget. The
 * only code that changes old segments.
 */
import { join } from "node:path";
import type { Entry } from "../domain.ts";
import { CHECKPOINT_FILE, createInstance, readInstance, writeCheckpoint } from "./checkpoint.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import { firstSeqOf, type Segment, syncFile } from "./segment.ts";
import { type DamageReport, type Survey, survey } from "./survey.ts";

export const QUARANTINE_DIR = "quarantine";

const COPY_BYTES = 1024 * 1024;
/**
 * Each takes a file descriptor. More are there only after as many starts during which the store
 * took nothing.
 */
const HELD_SEGMENTS_MAX = 512;

export interface Recovered extends Survey {
  readonly instance: string;
}

/** @throws AppError `journal-failed` for what only a person can decide */
export async function recover(
  fs: JournalFileSystem,
  dir: string,
  onUnacked: (entry: Entry) => void,
): Promise<Recovered> {
  const fresh = await readInstance(fs, dir) === undefined && !(await holdsJournal(fs, dir));
  if (fresh) await createInstance(fs, dir);
  const found = await survey(fs, dir, onUnacked);
  for (const report of found.damage) await quarantineReported(fs, dir, found, report);
  const newest = found.segments.at(-1);
  if (newest !== undefined) await cutAndSync(fs, newest);
  const instance = await instanceToGoOnWith(fs, dir, found);
  const { lastSeq, lastAcceptedMs, settled } = found;
  const ackedSeq = found.unacked > 0 ? found.ackedSeq : lastSeq;
  // From here on the cache may fall behind.
  await writeCheckpoint(fs, dir, {
    instance,
    ackedSeq,
    lastSeq,
    lastAcceptedMs,
    cacheCurrent: false,
    settled,
  });
  for (const name of found.unreadable) await moveToQuarantine(fs, dir, name);
  const cacheCurrent = fresh || found.cacheCurrent;
  return {
    ...found,
    instance,
    ackedSeq,
    cacheCurrent,
    segments: await forgetAcked(fs, dir, found),
  };
}

async function holdsJournal(fs: JournalFileSystem, dir: string): Promise<boolean> {
  return (await fs.list(dir)).some((name) =>
    name === CHECKPOINT_FILE || firstSeqOf(name) !== undefined
  );
}

/**
 * Copies damaged bytes aside before anything else can happen to them. Repeating it writes the same
 * file again.
 */
export async function quarantine(
  fs: JournalFileSystem,
  dir: string,
  segment: Segment,
  offset: number,
  length: number,
): Promise<void> {
  const quarantineDir = join(dir, QUARANTINE_DIR);
  await fs.mkdir(quarantineDir);
  const name = `${segment.name}-${offset}.bin`;
  if ((await fs.list(quarantineDir)).includes(name)) await fs.remove(join(quarantineDir, name));
  const copy = await fs.create(join(quarantineDir, name));
  try {
    for (let done = 0; done < length; done += COPY_BYTES) {
      const bytes = await segment.readBytes(offset + done, Math.min(COPY_BYTES, length - done));
      await copy.writeAt(bytes, done);
    }
    await syncFile(copy, name);
  } finally {
    copy.close();
  }
  await fs.syncDirectory(quarantineDir);
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

async function moveToQuarantine(fs: JournalFileSystem, dir: string, name: string): Promise<void> {
  const quarantineDir = join(dir, QUARANTINE_DIR);
  await fs.mkdir(quarantineDir);
  const taken = new Set(await fs.list(quarantineDir));
  let to = name;
  for (let i = 1; taken.has(to); i++) to = `${name}.${i}`;
  await fs.rename(join(dir, name), join(quarantineDir, to));
  await fs.syncDirectory(quarantineDir);
  await fs.syncDirectory(dir);
}

/**
 * Cuts a torn tail. Synced even when whole: after a kill its last records may be in the page cache
 * only, and from here on they count as durable.
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

/**
 * With the checkpoint lost and no segment left, nothing tells which sequence numbers were given
 * out: only a new instance makes sure that no write id is ever used twice.
 */
async function instanceToGoOnWith(
  fs: JournalFileSystem,
  dir: string,
  found: Survey,
): Promise<string> {
  const checkpointLost = found.damage.some((report) => report.segment === CHECKPOINT_FILE);
  if (found.instance !== undefined && !(checkpointLost && found.lastSeq === 0)) {
    return found.instance;
  }
  return await createInstance(fs, dir);
}

/**
 * Removes segments that hold nothing to take any more, as a durable checkpoint says, and holds the
 * others.
 */
async function forgetAcked(fs: JournalFileSystem, dir: string, found: Survey): Promise<Segment[]> {
  const kept = found.segments.filter((segment) => segment.markFor(0) !== undefined);
  for (const segment of found.segments) {
    if (!kept.includes(segment)) await segment.remove();
  }
  for (const name of found.aborted) await fs.remove(join(dir, name));
  await fs.syncDirectory(dir);
  for (const segment of kept.slice(0, HELD_SEGMENTS_MAX)) await segment.hold();
  return kept;
}
