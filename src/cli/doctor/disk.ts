/** Looks for `dsproxy doctor` at the disk under DATA_DIR: its kind, its room, how fast it syncs. */
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import { reasonOf } from "../../errors.ts";
import { nearestExisting, PROBE_PREFIX } from "../data_dir_check.ts";
import type { Remark } from "../../ports/remark.ts";
import { inBytes } from "./wording.ts";

type Kind = "volatile" | "remote" | "layer";

/** By the magic numbers of statfs(2). */
const KINDS: ReadonlyMap<number, readonly [name: string, kind: Kind]> = new Map([
  [0x01021994, ["tmpfs", "volatile"]],
  [0x858458f6, ["ramfs", "volatile"]],
  [0x794c7630, ["overlayfs", "layer"]],
  [0x6969, ["NFS", "remote"]],
  [0xff534d42, ["CIFS", "remote"]],
  [0xfe534d42, ["SMB", "remote"]],
  [0x01021997, ["9p", "remote"]],
  [0x00c36400, ["CephFS", "remote"]],
  [0x65735546, ["FUSE", "remote"]],
]);

const KIND_ADVICE: Readonly<Record<Kind, readonly [meaning: string, advice: string]>> = {
  volatile: [
    "what is in it is gone with the machine's power",
    "Put DATA_DIR on a disk: durable means no more than the disk does.",
  ],
  layer: [
    "if it is a container's own layer, it goes with the container",
    "Mount a volume at DATA_DIR, unless this is one.",
  ],
  remote: [
    "a lock may not hold between machines, and an fsync may return early",
    "Prefer a local disk; else try its locks and its fsync first (docs/operations.md).",
  ],
};

/** The files being written may be so much longer than what is in them. */
const AHEAD_BYTES = 4 * 1024 * 1024;
/** Below it not even a start is sure. */
const LEAST_BYTES = 16 * 1024 * 1024;
const LEAST_INODES = 1_000;
const SYNCS = 48;
const PAGE_BYTES = 4096;
/** The journal acknowledges as soon as it is synced: each write waits for so long, and more. */
const SLOW_MS = 10;
const STALL_MS = 250;

type Options = Pick<Config, "dataDir" | "journal">;

export async function examineDisk({ dataDir, journal }: Options): Promise<readonly Remark[]> {
  // Where it is not there yet, the start makes it in this one.
  const wanted = join(dataDir, ".");
  const directory = await nearestExisting(wanted);
  return [
    ...await fileSystem(directory, journal.maxBytes, await sizeOf(journal.dir)),
    await access(directory, directory === wanted),
    await syncSpeed(directory),
  ];
}

async function fileSystem(
  directory: string,
  maxBytes: number,
  usedBytes: number,
): Promise<Remark[]> {
  let found: Awaited<ReturnType<typeof statfs>>;
  try {
    found = await statfs(directory);
  } catch (error) {
    const advice = "Look at it with df: its kind and its room cannot be seen from here.";
    return [{ topic: "file system", grade: "note", found: reasonOf(error), advice }];
  }
  const freeBytes = found.bavail * found.bsize;
  return [
    kindOf(directory, found.type),
    room({ freeBytes, inodes: found.ffree, hasInodes: found.files > 0 }, maxBytes, usedBytes),
  ];
}

function kindOf(directory: string, type: number): Remark {
  const topic = "file system";
  // It is a signed number on some machines.
  const [name, kind] = KINDS.get(type >>> 0) ?? ["a local one", undefined];
  const found = `${directory} is on ${name} (type 0x${(type >>> 0).toString(16)})`;
  if (kind === undefined) return { topic, grade: "ok", found };
  const [meaning, advice] = KIND_ADVICE[kind];
  const grade = kind === "layer" ? "note" : "risk";
  return { topic, grade, found: `${found}: ${meaning}`, advice };
}

function room(
  { freeBytes, inodes, hasInodes }: { freeBytes: number; inodes: number; hasInodes: boolean },
  maxBytes: number,
  usedBytes: number,
): Remark {
  const topic = "disk free";
  const wanted = Math.max(0, maxBytes - usedBytes) + AHEAD_BYTES;
  const found = `${inBytes(freeBytes)} free; the journal has ${inBytes(usedBytes)}, and may ` +
    `take ${inBytes(wanted)} more (JOURNAL_MAX_BYTES=${inBytes(maxBytes)})`;
  const advice = "Give it a larger disk, or lower JOURNAL_MAX_BYTES: a full one refuses writes.";
  if (freeBytes < LEAST_BYTES) return { topic, grade: "problem", found, advice };
  if (hasInodes && inodes < LEAST_INODES) {
    return { topic, grade: "risk", found: `${found}; only ${inodes} inodes are free`, advice };
  }
  return freeBytes < wanted
    ? { topic, grade: "risk", found, advice }
    : { topic, grade: "ok", found };
}

async function sizeOf(directory: string): Promise<number> {
  let bytes = 0;
  try {
    for await (const { name, isFile } of Deno.readDir(directory)) {
      // A running instance may have removed it meanwhile.
      if (isFile) {
        bytes += (await Deno.stat(join(directory, name)).catch(() => undefined))?.size ?? 0;
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}

async function access(directory: string, isDataDir: boolean): Promise<Remark> {
  const topic = "access";
  const { mode, uid } = await Deno.stat(directory);
  if (mode === null) return { topic, grade: "ok", found: "this system has no modes" };
  const own = Deno.uid();
  const found = `${directory} has the mode ${(mode & 0o7777).toString(8).padStart(4, "0")}, ` +
    `and belongs to uid ${uid}; this is uid ${own}`;
  // Of the directory above others have to be able to use it, too.
  if (!isDataDir) return { topic, grade: "ok", found };
  if ((mode & 0o002) !== 0) {
    return {
      topic,
      grade: "risk",
      found: `${found}: anybody may replace files in it`,
      advice: `chmod o-w ${directory}`,
    };
  }
  if ((mode & 0o005) !== 0 || uid !== own) {
    return {
      topic,
      grade: "note",
      found: uid === own ? `${found}: other users may look into it` : found,
      advice: "It has what users wrote: let it belong to the service's user alone (chmod 700).",
    };
  }
  return { topic, grade: "ok", found };
}

/** Syncs as the journal does: over zeros that are there already, a page at a time. */
async function syncSpeed(directory: string): Promise<Remark> {
  const topic = "fsync speed";
  const path = join(directory, PROBE_PREFIX + crypto.randomUUID());
  const tookMs: number[] = [];
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  try {
    await writeAll(file, new Uint8Array(SYNCS * PAGE_BYTES));
    await file.sync();
    await file.seek(0, Deno.SeekMode.Start);
    for (let i = 0; i < SYNCS; i++) {
      await writeAll(file, new Uint8Array(PAGE_BYTES).fill(1));
      const startedMs = performance.now();
      await file.syncData();
      tookMs.push(performance.now() - startedMs);
    }
  } finally {
    await Deno.remove(path);
  }
  tookMs.sort((a, b) => a - b);
  const [median, worst] = [tookMs[SYNCS / 2]!, tookMs.at(-1)!];
  const found = `${SYNCS} syncs took ${median.toFixed(2)} ms (median), ${
    worst.toFixed(2)
  } ms at worst`;
  if (median < SLOW_MS && worst < STALL_MS) return { topic, grade: "ok", found };
  return {
    topic,
    grade: "risk",
    found: `${found}: over ${SLOW_MS} ms, or ${STALL_MS} ms at worst, clients feel it`,
    advice: "Put DATA_DIR on a disk of its own, or one with a write cache that keeps its power.",
  };
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}
