/**
 * Mistakes that write-ahead journals and write-behind caches are known for, each put into a port on
 * purpose, to show that the simulation would find them in the program.
 */
import type { Entry } from "../../src/domain.ts";
import type { JournalFile, JournalFileSystem } from "../../src/disk/file_system.ts";
import { FORWARDED_FILE } from "../../src/forwarding/forwarded_runs.ts";
import type { Cache } from "../../src/ports/cache.ts";
import type { Store } from "../../src/ports/store.ts";
import type { SimulatedStore } from "./store.ts";

export const BUGS = [
  "ack-before-fsync",
  "overwrite-not-synced",
  "zeros-after-records",
  "unlink-before-checkpoint-fsync",
  "retry-failed-fsync",
  "mark-without-rows",
  "older-ts-wins",
  "cache-failure-untold",
  "settled-before-commit",
  "pending-released-by-cache",
  "local-copy-kept",
  "settled-segment-not-kept",
  "write-id-given-twice",
  "sent-ahead-taken-for-stored",
  "fence-not-renewed",
  "intervals-cut-anew",
  "mark-read-before-insert",
  "group-applied-without-row",
  "forwarded-taken-for-stored",
  "settled-by-confirm",
  "replicated-before-confirm",
  "forwarded-runs-forgotten",
  "adoption-that-removes",
  "adopted-by-another-way",
  "adopted-torn-record",
] as const;

export type Bug = typeof BUGS[number];

export function buggyDisk(fs: JournalFileSystem, bug: Bug | undefined): JournalFileSystem {
  switch (bug) {
    case "ack-before-fsync":
      return withFiles(
        fs,
        (path, file) => path.endsWith(".seg") ? { ...file, ...acknowledgedEarly(file) } : file,
      );
    case "overwrite-not-synced":
      // As if an overwrite were a write, and no sync.
      return withFiles(fs, (_, file) => ({ ...file, overwrite: file.writeAt }));
    case "zeros-after-records":
      // What is filled ahead is not waited for, and comes over what was written there meanwhile.
      return withFiles(
        fs,
        (_, file) => ({
          ...file,
          writeAt: async (bytes, offset) => {
            if (bytes.some((byte) => byte !== 0)) return await file.writeAt(bytes, offset);
            file.size().then(() => file.size()).then(() => file.writeAt(bytes, offset))
              .catch(() => {});
          },
        }),
      );
    case "retry-failed-fsync":
      return withFiles(
        fs,
        (_, file) => ({ ...file, sync: () => file.sync().catch(() => file.sync()) }),
      );
    case "unlink-before-checkpoint-fsync":
      // The checkpoint gets its name, and the segments lose theirs, before its content is on disk.
      return withFiles(
        fs,
        (path, file) => path.endsWith("checkpoint.tmp") ? { ...file, sync: async () => {} } : file,
      );
    case "forwarded-runs-forgotten":
      // What a broker may have goes to the store directly, as if there had never been one.
      return {
        ...fs,
        list: async (path) => (await fs.list(path)).filter((name) => name !== FORWARDED_FILE),
      };
    default:
      return fs;
  }
}

export function buggyStore(store: Store, server: SimulatedStore, bug: Bug | undefined): Store {
  switch (bug) {
    case "mark-without-rows":
      return {
        ...store,
        // The mark moves although the transaction of its rows failed.
        put: async (source, entries, ...others) => {
          try {
            return await store.put(source, entries, ...others);
          } catch (error) {
            server.moveMark(source, entries.at(-1)!.seq);
            throw error;
          }
        },
      };
    case "settled-before-commit":
      return {
        ...store,
        // What the transaction comes to is not waited for.
        put: (source, entries, ...others) => {
          store.put(source, entries, ...others).catch(() => {});
          return Promise.resolve({ rows: entries.length, dead: [] });
        },
      };
    default:
      return store;
  }
}

/** @param release what lets go of pending entries */
export function buggyCache(
  cache: Cache,
  bug: Bug | undefined,
  release: (entries: readonly Entry[]) => void,
): Cache {
  switch (bug) {
    case "older-ts-wins": {
      // The last to come wins, whatever its version.
      const overwrite = async (entries: readonly Entry[], cameFromStore: boolean) => {
        for (const entry of entries) {
          const present = await cache.get(entry.userId);
          await cache.forget(entry.userId);
          const isComplete = cameFromStore || present?.complete === true;
          const token = isComplete ? await cache.token() : undefined;
          await (token === undefined ? cache.update([entry]) : cache.fill([entry], token));
        }
      };
      return {
        ...cache,
        update: (entries) => overwrite(entries, false),
        fill: (entries) => overwrite(entries, true).then(() => true),
      };
    }
    case "pending-released-by-cache":
      return {
        ...cache,
        // A copy that may be lost at any moment is taken for the store's.
        update: async (entries, areStored) => {
          await cache.update(entries, areStored);
          release(entries);
        },
      };
    default:
      return cache;
  }
}

/** Each start of the program draws the same name for its writes, as two clones of a machine may. */
export function drawsTheSameNames(bug: Bug | undefined): boolean {
  return bug === "write-id-given-twice";
}

function acknowledgedEarly(file: JournalFile): Pick<JournalFile, "overwrite" | "sync"> {
  return {
    sync: () => {
      file.sync().catch(() => {});
      return Promise.resolve();
    },
    overwrite: (bytes, offset) => {
      file.overwrite(bytes, offset).catch(() => {});
      return Promise.resolve();
    },
  };
}

function withFiles(
  fs: JournalFileSystem,
  wrap: (path: string, file: JournalFile) => JournalFile,
): JournalFileSystem {
  return {
    ...fs,
    create: async (path) => wrap(path, await fs.create(path)),
    open: async (path, mode) => wrap(path, await fs.open(path, mode)),
  };
}
