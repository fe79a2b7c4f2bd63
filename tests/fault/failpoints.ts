/** Moments of the journal at which a crash is worst, by name. */
import { basename } from "node:path";
import type { JournalFile, JournalFileSystem } from "../../src/disk/file_system.ts";

export const FAILPOINTS = [
  "records half written",
  "records written, not synced",
  "records synced, not acknowledged",
  "segment created, its name not synced",
  "checkpoint written, not synced",
  "checkpoint synced, not renamed",
  "checkpoint renamed, its name not synced",
  "segment removed, not synced",
] as const;

export type Failpoint = typeof FAILPOINTS[number];

/** @param reached called when `failpoint` is; does not return when it ends the process */
export function withFailpoint(
  fs: JournalFileSystem,
  failpoint: Failpoint,
  reached: () => void,
): JournalFileSystem {
  const at = (name: Failpoint) => failpoint === name && reached();
  let removed = false;
  let renamed = false;
  let created = false;
  return {
    ...fs,
    create: async (path) => {
      const file = await fs.create(path);
      created ||= path.endsWith(".seg");
      return watched(file, basename(path), at);
    },
    open: async (path, mode) => watched(await fs.open(path, mode), basename(path), at),
    rename: async (from, to) => {
      at("checkpoint synced, not renamed");
      await fs.rename(from, to);
      renamed = true;
    },
    remove: async (path) => {
      await fs.remove(path);
      removed ||= path.endsWith(".seg");
    },
    syncDirectory: async (path) => {
      if (created) at("segment created, its name not synced");
      if (renamed) at("checkpoint renamed, its name not synced");
      if (removed) at("segment removed, not synced");
      created = renamed = removed = false;
      await fs.syncDirectory(path);
    },
  };
}

function watched(file: JournalFile, name: string, at: (failpoint: Failpoint) => void): JournalFile {
  const isSegment = name.endsWith(".seg");
  return {
    size: () => file.size(),
    readAt: (into, offset) => file.readAt(into, offset),
    truncate: (size) => file.truncate(size),
    displaced: () => file.displaced(),
    close: () => file.close(),
    writeAt: async (bytes, offset) => {
      if (isSegment && offset > 0) {
        await file.writeAt(bytes.subarray(0, bytes.length >> 1), offset);
        at("records half written");
      }
      await file.writeAt(bytes, offset);
      if (isSegment && offset > 0) at("records written, not synced");
      else if (!isSegment) at("checkpoint written, not synced");
    },
    overwrite: async (bytes, offset) => {
      await file.writeAt(bytes.subarray(0, bytes.length >> 1), offset);
      at("records half written");
      await file.writeAt(bytes, offset);
      at("records written, not synced");
      await file.overwrite(bytes, offset);
      at("records synced, not acknowledged");
    },
    sync: async () => {
      await file.sync();
      if (isSegment) at("records synced, not acknowledged");
    },
  };
}
