/**
 * Handles files of a few bytes, which are replaced whole or not at all, and durable when that is
 * done.
 */
import { join } from "node:path";
import type { JournalFileSystem } from "./file_system.ts";

/**
 * The largest file is a journal's checkpoint, which names up to some 1,600 sources and 200
 * intervals of numbers, in 100 bytes each at most.
 */
const MAX_BYTES = 256 * 1024;

/**
 * Replaces the file `name` of `dir`, or makes it, durably.
 * @param text at most 256 KiB of UTF-8
 */
export async function replaceFile(
  fs: JournalFileSystem,
  dir: string,
  name: string,
  text: string,
): Promise<void> {
  const temporary = `${name}.tmp`;
  if ((await fs.list(dir)).includes(temporary)) await fs.remove(join(dir, temporary));
  const file = await fs.create(join(dir, temporary));
  try {
    await file.writeAt(new TextEncoder().encode(text), 0);
    await file.sync();
  } finally {
    file.close();
  }
  await fs.rename(join(dir, temporary), join(dir, name));
  await fs.syncDirectory(dir);
}

/**
 * Returns the text of a file; undefined when there is no such file. Of one that is longer than any
 * that {@link replaceFile} wrote, it returns the beginning.
 */
export async function readSmallFile(
  fs: JournalFileSystem,
  dir: string,
  name: string,
): Promise<string | undefined> {
  if (!(await fs.list(dir)).includes(name)) return undefined;
  const file = await fs.open(join(dir, name), "read");
  try {
    const bytes = new Uint8Array(Math.min(MAX_BYTES, await file.size()));
    return new TextDecoder().decode(bytes.subarray(0, await file.readAt(bytes, 0)));
  } finally {
    file.close();
  }
}
