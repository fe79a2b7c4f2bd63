/** The small files beside the segments: who this journal is, and how far the store has it. */
import { join } from "node:path";
import { INSTANCE_ID_LENGTH } from "../domain.ts";
import { AppError } from "../errors.ts";
import { checksum } from "./codec.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import { readSmallFile, replaceFile } from "../disk/small_file.ts";

export interface Checkpoint {
  readonly instance: string;
  /** The store has everything through this number. */
  readonly ackedSeq: number;
  /** The last durable record when the checkpoint was made. */
  readonly lastSeq: number;
  /** Unix milliseconds. */
  readonly lastAcceptedMs: number;
  /** The run that wrote it ended in order, and left a cache without old copies. */
  readonly cacheCurrent: boolean;
  /** Undefined before the first batch, and when an older program wrote the checkpoint. */
  readonly settled?: Settled | undefined;
}

/**
 * The last batch that the store took: what its mark of that source has to be, at least, for as long
 * as it is the same store.
 */
export interface Settled {
  readonly source: string;
  readonly seq: number;
}

export const CHECKPOINT_FILE = "checkpoint";
export const INSTANCE_FILE = "instance";

const encoder = new TextEncoder();

export async function writeCheckpoint(
  fs: JournalFileSystem,
  dir: string,
  checkpoint: Checkpoint,
): Promise<void> {
  const { instance, ackedSeq, lastSeq, lastAcceptedMs, cacheCurrent, settled } = checkpoint;
  const content = {
    instance,
    ackedSeq,
    lastSeq,
    lastAcceptedMs,
    cacheCurrent,
    ...(settled && { settled }),
  };
  const crc = checksum(encoder.encode(JSON.stringify(content)));
  await replaceFile(fs, dir, CHECKPOINT_FILE, `${JSON.stringify({ ...content, crc })}\n`);
}

/**
 * What the checkpoint file holds; `damaged` when it is not as it was written, undefined when there
 * is none. The checksum covers every field that the file has, known here or not: a program can read
 * what a later one wrote.
 */
export async function readCheckpoint(
  fs: JournalFileSystem,
  dir: string,
): Promise<Checkpoint | "damaged" | undefined> {
  const text = await readSmallFile(fs, dir, CHECKPOINT_FILE);
  if (text === undefined) return undefined;
  try {
    const { crc, ...content } = JSON.parse(text) as Checkpoint & { crc: number };
    return crc === checksum(encoder.encode(JSON.stringify(content))) ? content : "damaged";
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return "damaged";
    throw error;
  }
}

/**
 * For a journal whose records go to another store from here on: that one has none of its marks, and
 * the cache may hold what the other one said. Only under the journal's lock. A damaged checkpoint
 * is left to the next start.
 */
export async function forgetStore(fs: JournalFileSystem, dir: string): Promise<void> {
  const checkpoint = await readCheckpoint(fs, dir);
  if (checkpoint === undefined || checkpoint === "damaged") return;
  await writeCheckpoint(fs, dir, { ...checkpoint, cacheCurrent: false, settled: undefined });
}

/**
 * The stable instance id; undefined when there is none yet.
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
    `Cannot open the journal: ${
      join(dir, INSTANCE_FILE)
    } does not hold ${INSTANCE_ID_LENGTH} characters of 0-9a-z. Restore it; the segments name the instance, too.`,
  );
}

export async function createInstance(fs: JournalFileSystem, dir: string): Promise<string> {
  const instance = randomId();
  await replaceFile(fs, dir, INSTANCE_FILE, `${instance}\n`);
  return instance;
}

/** {@link INSTANCE_ID_LENGTH} random characters of `[0-9a-z]`. */
export function randomId(): string {
  let id = "";
  while (id.length < INSTANCE_ID_LENGTH) {
    const [byte] = crypto.getRandomValues(new Uint8Array(1));
    // 252 = 7 * 36: above it, some characters would come up more often.
    if (byte! < 252) id += (byte! % 36).toString(36);
  }
  return id;
}
