/** Looks at directories that belong to other processes, and changes nothing there. */
import { join } from "node:path";
import type { JournalFileSystem } from "./file_system.ts";

export interface Neighbours {
  /** Returns the paths of the directories in this one, in the order of their names. */
  directories(path: string): Promise<string[]>;
  /**
   * Says whether somebody has the lock of {@link JournalFileSystem.lock} on this file. Where nobody
   * has, it is taken as one of several may take it, and given back at once: whoever takes it for
   * good meanwhile waits for that moment.
   */
  isLocked(path: string): Promise<boolean>;
}

export const denoNeighbours: Neighbours = {
  async directories(path) {
    const items = await Array.fromAsync(Deno.readDir(path));
    return items.filter(({ isDirectory }) => isDirectory).map(({ name }) => join(path, name))
      .sort();
  },

  async isLocked(path) {
    let file: Deno.FsFile;
    try {
      // Rights to write are not needed for a lock that others may have, too.
      file = await Deno.open(path, { read: true });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
    // Closing it gives the lock back.
    using open: Deno.FsFile & Trying = file;
    if (open.tryLock === undefined) {
      throw new Error(
        `Cannot ask who has the lock on ${path}: this Deno is too old. Run a newer one, or unset ` +
          "ADOPT_FROM",
      );
    }
    return !await open.tryLock(false);
  },
};

/** Older versions of Deno, which the program is compiled with, too, can only wait for a lock. */
interface Trying {
  tryLock?(exclusive: boolean): Promise<boolean>;
}

/** Returns the file system without the means to change it, for files that are somebody else's. */
export function readOnly(fs: JournalFileSystem): JournalFileSystem {
  const refuse = (what: string) => (path: string): Promise<never> =>
    Promise.reject(new Error(`Cannot ${what} ${path}: it belongs to another instance`));
  return {
    aheadBytes: 0,
    list: (path) => fs.list(path),
    open: (path, mode) => mode === "read" ? fs.open(path, mode) : refuse("write")(path),
    mkdir: refuse("make"),
    create: refuse("create"),
    rename: refuse("rename"),
    remove: refuse("remove"),
    syncDirectory: refuse("sync"),
    lock: refuse("lock"),
  };
}
