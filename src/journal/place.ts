/**
 * Cares for the journal's place in the file system: its directory, the lock that holds it, and what
 * is said when it is lost.
 */
import { join } from "node:path";
import { DeadlineError } from "../deadline.ts";
import { AppError, reasonOf } from "../errors.ts";
import type { JournalFile, JournalFileSystem } from "../disk/file_system.ts";

/** An instance that is about to end gives the lock back within this time. */
const LOCK_LIMIT_MS = 2_000;

/**
 * Makes the directory where it is missing.
 * @throws AppError `journal-failed` with what is in the way
 */
export async function makeDirectory(fs: JournalFileSystem, dir: string): Promise<void> {
  try {
    await fs.mkdir(dir);
  } catch (cause) {
    const message = `Cannot make the journal's directory ${dir}: ${
      reasonOf(cause)
    }. Mend that, or choose another DATA_DIR.`;
    throw new AppError("journal-failed", message, { cause });
  }
}

/**
 * Takes the lock that says that this process has the journal in `dir`, until it is closed.
 * @throws AppError `journal-failed` when another process has it
 */
export async function lockJournal(fs: JournalFileSystem, dir: string): Promise<JournalFile> {
  try {
    return await fs.lock(join(dir, "lock"), LOCK_LIMIT_MS);
  } catch (cause) {
    const advice = cause instanceof DeadlineError
      ? "Another dsproxy seems to use it: stop that one, or choose another DATA_DIR."
      : "Mend that, or choose another DATA_DIR.";
    const message = `Cannot open the journal in ${dir}: it could not be locked (${
      reasonOf(cause)
    }). ${advice}`;
    throw new AppError("journal-failed", message, { cause });
  }
}

/**
 * Returns what an operator is told of files that are not at their place.
 * @param reason see {@link JournalFile.displaced}
 */
export function displacedError(reason: string): Error {
  return new Error(
    `${reason}. What was accepted is still open in this process, and goes to the store: do not ` +
      "kill it, but stop it in order (SIGTERM) while the store answers. Then put back what is " +
      "missing, as far as that is possible, and start it again",
  );
}
