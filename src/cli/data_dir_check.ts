/**
 * Finds out for `--check-config` whether the service could start and write in DATA_DIR, and leaves
 * nothing behind.
 */
import { dirname, join } from "node:path";
import { reasonOf } from "../errors.ts";
import { denoFileSystem } from "../disk/file_system.ts";
import { type JournalCondition, verifyJournal } from "../journal/verify.ts";
import { checkStoreBinding, describeStore, type StoreKind } from "../guarding/store_binding.ts";

/** A start writes at least so much: the header of a segment, and a checkpoint, of 4 KiB each. */
const PROBE_BYTES = 8 * 1024;
export const PROBE_PREFIX = ".dsproxy-check-";

interface DataDir {
  readonly dataDir: string;
  readonly journalDir: string;
  readonly storeKind: StoreKind;
}

/**
 * Returns each part by its name, and what looks at it: that resolves to what it found, or rejects
 * with what keeps the service from starting.
 */
export function dataDirChecks(
  { dataDir, journalDir, storeKind }: DataDir,
): [string, () => Promise<string>][] {
  return [
    ["data directory", () => checkDirectory(dataDir)],
    ["store binding", () => checkBinding(dataDir, storeKind)],
    ["journal", async () => {
      await checkDirectory(journalDir);
      return describeJournal(await verifyJournal(denoFileSystem, journalDir));
    }],
  ];
}

async function checkDirectory(path: string): Promise<string> {
  await denoFileSystem.list(path);
  if (await exists(path)) {
    await tryToWrite(path);
    await tryToOpenFiles(path);
    return `${path} is writable`;
  }
  const parent = await nearestExisting(dirname(path));
  await tryToMakeDirectory(parent);
  return `not there yet; it can be made in ${parent}`;
}

async function checkBinding(dataDir: string, kind: StoreKind): Promise<string> {
  const bound = await checkStoreBinding(dataDir, kind);
  return bound === undefined
    ? `none yet; the first start binds it to ${kind}`
    : describeStore(bound);
}

async function tryToWrite(directory: string): Promise<void> {
  const path = join(directory, PROBE_PREFIX + crypto.randomUUID());
  try {
    using file = await Deno.open(path, { write: true, createNew: true });
    try {
      for (let done = 0; done < PROBE_BYTES;) {
        done += await file.write(new Uint8Array(PROBE_BYTES - done));
      }
      await file.sync();
    } finally {
      await Deno.remove(path);
    }
  } catch (cause) {
    throw new Error(`Cannot write in ${directory}: ${reasonOf(cause)}`, { cause });
  }
}

async function tryToMakeDirectory(parent: string): Promise<void> {
  let made: string | undefined;
  try {
    made = await Deno.makeTempDir({ dir: parent, prefix: PROBE_PREFIX });
    await tryToWrite(made);
  } catch (cause) {
    throw new Error(`Cannot make a directory in ${parent}: ${reasonOf(cause)}`, { cause });
  } finally {
    if (made !== undefined) await Deno.remove(made);
  }
}

/**
 * The files are opened, which changes nothing: an earlier start as another user may have left some
 * that this one cannot write.
 */
async function tryToOpenFiles(directory: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(directory)) {
    if (!isFile) continue;
    const path = join(directory, name);
    try {
      (await Deno.open(path, { read: true, write: true })).close();
    } catch (cause) {
      // What a running instance has removed meanwhile is no trouble.
      if (!(cause instanceof Deno.errors.NotFound)) {
        throw new Error(`Cannot write ${path}: ${reasonOf(cause)}`, { cause });
      }
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Returns the path, or of the directories above it the nearest that is there. */
export async function nearestExisting(path: string): Promise<string> {
  const parent = dirname(path);
  return parent === path || await exists(path) ? path : await nearestExisting(parent);
}

function describeJournal(
  { instance, segments, bytes, records, unsettled, damage }: JournalCondition,
): string {
  if (instance === undefined) return "not there yet; it is made at the first start";
  const stretches = damage.map(({ kind, segment, offset, bytes }) =>
    `${kind} in ${segment} at ${offset} (${bytes} bytes)`
  );
  const condition = damage.length === 0 ? "no damage" : `damage: ${stretches.join(", ")}`;
  const size = `${records} records in ${segments} segments (${bytes} bytes)`;
  return `instance ${instance}, ${size}, ${unsettled} not in the store; ${condition}`;
}
