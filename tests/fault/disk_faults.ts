/**
 * A file system whose writes or syncs fail while a file says so: full after half a write, or
 * broken.
 */
import type { JournalFile, JournalFileSystem } from "../../src/disk/file_system.ts";

export type DiskFault = "ENOSPC" | "EIO";

/** @param switchPath while this file exists, it holds the {@link DiskFault} */
export function withDiskFaults(fs: JournalFileSystem, switchPath: string): JournalFileSystem {
  const fault = (): DiskFault | undefined => {
    try {
      return Deno.readTextFileSync(switchPath) as DiskFault;
    } catch {
      return undefined; // No fault is switched on.
    }
  };
  const failing = (file: JournalFile): JournalFile => ({
    size: () => file.size(),
    readAt: (into, offset) => file.readAt(into, offset),
    truncate: (size) => file.truncate(size),
    displaced: () => file.displaced(),
    close: () => file.close(),
    writeAt: async (bytes, offset) => {
      if (fault() !== "ENOSPC") return await file.writeAt(bytes, offset);
      await file.writeAt(bytes.subarray(0, bytes.length >> 1), offset);
      throw error("ENOSPC");
    },
    overwrite: async (bytes, offset) => {
      if (fault() === "EIO") throw error("EIO");
      await file.overwrite(bytes, offset);
    },
    sync: async () => {
      if (fault() === "EIO") throw error("EIO");
      await file.sync();
    },
  });
  return {
    ...fs,
    create: async (path) => failing(await fs.create(path)),
    open: async (path, mode) => failing(await fs.open(path, mode)),
  };
}

function error(code: DiskFault): Error {
  return Object.assign(new Error(`${code} on purpose`), { code });
}
