/** Puts damaged bytes aside, so that a person can look at them. */
import { join } from "node:path";
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { Segment } from "./segment.ts";
import { syncFile } from "./segment_file.ts";

const QUARANTINE_DIR = "quarantine";
/** Bytes are copied in pieces, as a damaged stretch can be a whole segment. */
const COPY_BYTES = 1024 * 1024;

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

/** Moves a whole segment aside, of which not even the header can be read. */
export async function moveToQuarantine(
  fs: JournalFileSystem,
  dir: string,
  name: string,
): Promise<void> {
  const quarantineDir = join(dir, QUARANTINE_DIR);
  await fs.mkdir(quarantineDir);
  const taken = new Set(await fs.list(quarantineDir));
  let to = name;
  for (let i = 1; taken.has(to); i++) to = `${name}.${i}`;
  await fs.rename(join(dir, name), join(quarantineDir, to));
  await fs.syncDirectory(quarantineDir);
  await fs.syncDirectory(dir);
}
