/**
 * Reads and writes the small files beside the segments, which say who this journal is, and how far
 * the store has it.
 */
import { join } from "node:path";
import { INSTANCE_ID_LENGTH } from "../domain.ts";
import { AppError } from "../errors.ts";
import { checksum } from "./codec.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import { readSmallFile, replaceFile } from "../disk/small_file.ts";
import type { SourceProgress } from "./progress.ts";
import type { WithdrawnInterval } from "./withdrawn.ts";

export interface Checkpoint {
  readonly instance: string;
  /** Of the numbers of format 1, which went on over all runs, nothing through this one waits … */
  readonly oldDoneSeq: number;
  /** … and this is the last that became durable; it is 0 when there never were any. */
  readonly oldLastSeq: number;
  /** It is the time of the last acceptance, in Unix milliseconds. */
  readonly lastAcceptedMs: number;
  /** It is the number in the name of the last segment that was made. */
  readonly ordinal: number;
  readonly last: LastRecord;
  /** They are in the order of the journal. A source that is missing has nothing settled. */
  readonly sources: readonly SourceProgress[];
  readonly withdrawn: readonly WithdrawnInterval[];
}

/** It was the last durable record when the checkpoint was made. */
export interface LastRecord {
  /** Its write id begins with this; it is empty when there never was one. */
  readonly run: string;
  readonly seq: number;
  /** It names the last segment, and where that ended then; it is undefined when there was none. */
  readonly segment?: { readonly name: string; readonly end: number } | undefined;
}

export const CHECKPOINT_FILE = "checkpoint";
const INSTANCE_FILE = "instance";

const encoder = new TextEncoder();

/**
 * This stands in the file. The first fields are those of programs that know only format 1: such a
 * one goes on from the last number that it may have given out.
 */
interface Content {
  readonly instance: string;
  readonly ackedSeq: number;
  readonly lastSeq: number;
  readonly lastAcceptedMs: number;
  readonly cacheCurrent: false;
  readonly ordinal: number;
  readonly last: LastRecord;
  /** Each has the source, its settledSeq, doneSeq and floorSeq. */
  readonly sources: readonly (readonly [string, number, number, number])[];
  /** Each has the run, its firstSeq, lastSeq and whether that is certain. */
  readonly withdrawn: readonly (readonly [string, number, number, boolean])[];
}

/** Programs that know only format 1 left this. */
interface OldContent {
  readonly instance: string;
  readonly ackedSeq: number;
  readonly lastSeq: number;
  readonly lastAcceptedMs: number;
  /** The store took this batch last. */
  readonly settled?: { readonly source: string; readonly seq: number };
}

export async function writeCheckpoint(
  fs: JournalFileSystem,
  dir: string,
  checkpoint: Checkpoint,
): Promise<void> {
  const content: Content = {
    instance: checkpoint.instance,
    ackedSeq: checkpoint.oldDoneSeq,
    lastSeq: checkpoint.oldLastSeq,
    lastAcceptedMs: checkpoint.lastAcceptedMs,
    cacheCurrent: false,
    ordinal: checkpoint.ordinal,
    last: checkpoint.last,
    sources: checkpoint.sources.map((
      { source, settledSeq, doneSeq, floorSeq },
    ) => [source, settledSeq, doneSeq, floorSeq]),
    withdrawn: checkpoint.withdrawn.map((
      { run, firstSeq, lastSeq, certain },
    ) => [run, firstSeq, lastSeq, certain]),
  };
  const crc = checksum(encoder.encode(JSON.stringify(content)));
  await replaceFile(fs, dir, CHECKPOINT_FILE, `${JSON.stringify({ ...content, crc })}\n`);
}

/**
 * Returns what the checkpoint file holds; `damaged` when it is not as it was written, undefined
 * when there is none. The checksum covers every field that the file has, known here or not, so that
 * a program can read what a later one wrote.
 */
export async function readCheckpoint(
  fs: JournalFileSystem,
  dir: string,
): Promise<Checkpoint | "damaged" | undefined> {
  const text = await readSmallFile(fs, dir, CHECKPOINT_FILE);
  if (text === undefined) return undefined;
  try {
    const { crc, ...content } = JSON.parse(text) as (Content | OldContent) & { crc: number };
    if (crc !== checksum(encoder.encode(JSON.stringify(content)))) return "damaged";
    return "sources" in content ? fromContent(content) : fromOldContent(content);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return "damaged";
    throw error;
  }
}

function fromContent(content: Content): Checkpoint {
  const { instance, ackedSeq, lastSeq, lastAcceptedMs, ordinal, last } = content;
  return {
    instance,
    oldDoneSeq: ackedSeq,
    oldLastSeq: lastSeq,
    lastAcceptedMs,
    ordinal,
    last,
    sources: content.sources.map((
      [source, settledSeq, doneSeq, floorSeq],
    ) => ({ source, settledSeq, doneSeq, floorSeq })),
    withdrawn: content.withdrawn.map((
      [run, firstSeq, lastSeq, certain],
    ) => ({ run, firstSeq, lastSeq, certain })),
  };
}

function fromOldContent(content: OldContent): Checkpoint {
  const { instance, ackedSeq, lastSeq, lastAcceptedMs, settled } = content;
  return {
    instance,
    oldDoneSeq: ackedSeq,
    oldLastSeq: lastSeq,
    lastAcceptedMs,
    ordinal: 0,
    last: { run: lastSeq > 0 ? instance : "", seq: lastSeq },
    sources: settled === undefined
      ? []
      : [{ source: settled.source, settledSeq: settled.seq, doneSeq: ackedSeq, floorSeq: 0 }],
    withdrawn: [],
  };
}

/**
 * Prepares a journal whose records go to another store from here on: that one has none of its
 * marks, and what is settled is kept no longer, as it must not go there. It may be called only
 * under the journal's lock. A damaged checkpoint is left to the next start.
 */
export async function forgetStore(fs: JournalFileSystem, dir: string): Promise<void> {
  const checkpoint = await readCheckpoint(fs, dir);
  if (checkpoint === undefined || checkpoint === "damaged") return;
  await writeCheckpoint(fs, dir, {
    ...checkpoint,
    sources: checkpoint.sources.map(({ source, doneSeq }) => ({
      source,
      settledSeq: 0,
      doneSeq,
      floorSeq: doneSeq,
    })),
  });
}

/**
 * Returns the stable instance id; undefined when there is none yet.
 * @throws AppError `journal-failed` when the file does not hold one
 */
export async function readInstance(
  fs: JournalFileSystem,
  dir: string,
): Promise<string | undefined> {
  const text = (await readSmallFile(fs, dir, INSTANCE_FILE))?.trimEnd();
  if (text === undefined || /^[0-9a-z]{12}$/.test(text)) return text;
  throw new AppError(
    "journal-failed",
    `Cannot open the journal: ${join(dir, INSTANCE_FILE)} does not hold ${INSTANCE_ID_LENGTH} ` +
      "characters of 0-9a-z. Restore it; the segments name the instance, too.",
  );
}

export async function createInstance(fs: JournalFileSystem, dir: string): Promise<string> {
  const instance = randomId();
  await replaceFile(fs, dir, INSTANCE_FILE, `${instance}\n`);
  return instance;
}

/** Returns {@link INSTANCE_ID_LENGTH} random characters of `[0-9a-z]`. */
export function randomId(): string {
  let id = "";
  while (id.length < INSTANCE_ID_LENGTH) {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    // A byte from 252 = 7 * 36 on is drawn anew, or some characters would come up more often.
    if (byte! < 252) id += (byte! % 36).toString(36);
  }
  return id;
}
