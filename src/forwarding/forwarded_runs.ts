/**
 * Keeps the file `forwarded` in DATA_DIR: the runs whose groups a broker may have. These go by whole
 * groups for ever, also without a broker, as workers may bring them at the same time; all others go
 * to the store directly, as a flush of theirs may be under way there still.
 */
import type { JournalFileSystem } from "../disk/file_system.ts";
import { readSmallFile, replaceFile } from "../disk/small_file.ts";

export const FORWARDED_FILE = "forwarded";

/**
 * Notes durably that a broker may have these from now on. It may be called only while this process
 * has the lock of the directory's journal.
 * @param runs those that are in the journal, and this one; of others nobody needs to know any more
 * @throws whatever the disk says; nothing may be forwarded then
 */
export async function noteForwarded(
  fs: JournalFileSystem,
  dataDir: string,
  runs: readonly string[],
): Promise<void> {
  const text = `${JSON.stringify({ runs })}\n`;
  if (await readSmallFile(fs, dataDir, FORWARDED_FILE) === text) return;
  await replaceFile(fs, dataDir, FORWARDED_FILE, text);
}

/** @throws whatever the disk says; Error where the file is not what {@link noteForwarded} wrote */
export async function readForwarded(
  fs: JournalFileSystem,
  dataDir: string,
): Promise<ReadonlySet<string>> {
  const text = await readSmallFile(fs, dataDir, FORWARDED_FILE);
  if (text === undefined) return new Set();
  try {
    const { runs } = JSON.parse(text) as { readonly runs: readonly unknown[] };
    return new Set(runs.map(String));
  } catch (cause) {
    throw new Error(
      `The file ${FORWARDED_FILE} in ${dataDir} is damaged: it says which runs a broker may have. ` +
        "Let the workers empty the broker's queue, then remove the file.",
      { cause },
    );
  }
}
