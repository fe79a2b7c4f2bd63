/**
 * What the journal asks of a file system, as narrow as it gets, and the one implementation that touches the disk. Everything
 * the journal does goes through here, so that a simulated disk can lose what was not synced.
 */
import { dirname } from "node:path";
import { withDeadline } from "../deadline.ts";

export interface JournalFile {
  size(): Promise<number>;
  /** Fills `into` from `offset` on; returns the bytes read, fewer only at the end of the file. Calls may overlap. */
  readAt(into: Uint8Array, offset: number): Promise<number>;
  /** Writes all of `bytes` at `offset`, or rejects; then any part of them may have been written. */
  writeAt(bytes: Uint8Array, offset: number): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Resolves when content and size would survive a power loss (fdatasync). The name needs {@link JournalFileSystem.syncDirectory}. */
  sync(): Promise<void>;
  close(): void;
}

export interface JournalFileSystem {
  /** Makes a directory and those above it that are missing, and makes their names durable. Fine when it exists. */
  mkdir(path: string): Promise<void>;
  /** The names in a directory; none when there is no such directory. */
  list(path: string): Promise<string[]>;
  /** A new file, open for reading and writing. Rejects when the name is taken. */
  create(path: string): Promise<JournalFile>;
  /** An existing file. */
  open(path: string, mode: "read" | "write"): Promise<JournalFile>;
  /** Replaces `to` when it exists. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes the names created, renamed and removed in a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Takes the exclusive lock on a file, made when missing; resolves to its release. Rejects when not had within `limitMs`. */
  lock(path: string, limitMs: number): Promise<() => void>;
}

/** True for "the disk is full" and "the quota is used up": what a write may get over when space comes back. */
export function isDiskFull(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "ENOSPC" || code === "EDQUOT";
}

class DenoFile implements JournalFile {
  /** Seek and read are two calls: they take turns, or one read would move the other's place. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly file: Deno.FsFile) {}

  async size(): Promise<number> {
    return (await this.file.stat()).size;
  }

  readAt(into: Uint8Array, offset: number): Promise<number> {
    return this.#inTurn(async () => {
      this.file.seekSync(offset, Deno.SeekMode.Start);
      let done = 0;
      while (done < into.length) {
        const count = await this.file.read(into.subarray(done));
        if (count === null) break;
        done += count;
      }
      return done;
    });
  }

  writeAt(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#inTurn(async () => {
      this.file.seekSync(offset, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) done += await this.file.write(bytes.subarray(done));
    });
  }

  truncate(size: number): Promise<void> {
    return this.#inTurn(() => this.file.truncate(size));
  }

  sync(): Promise<void> {
    return this.#inTurn(() => this.file.syncData());
  }

  close(): void {
    this.file.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

export const denoFileSystem: JournalFileSystem = {
  async mkdir(path) {
    try {
      await Deno.mkdir(path);
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return;
      if (!(error instanceof Deno.errors.NotFound) || dirname(path) === path) throw error;
      await this.mkdir(dirname(path));
      return await this.mkdir(path);
    }
    await this.syncDirectory(dirname(path));
  },

  async list(path) {
    try {
      return (await Array.fromAsync(Deno.readDir(path))).map((item) => item.name);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  },

  async create(path) {
    return new DenoFile(await Deno.open(path, { read: true, write: true, createNew: true }));
  },

  async open(path, mode) {
    return new DenoFile(await Deno.open(path, { read: true, write: mode === "write" }));
  },

  rename: (from, to) => Deno.rename(from, to),
  remove: (path) => Deno.remove(path),

  async syncDirectory(path) {
    // Windows keeps names durable by itself and cannot open a directory as a file.
    if (Deno.build.os === "windows") return;
    using directory = await Deno.open(path);
    await directory.sync();
  },

  async lock(path, limitMs) {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    const locked = file.lock(true);
    try {
      await withDeadline(locked, limitMs, `The lock on ${path}`);
    } catch (error) {
      // A lock cannot be un-asked for: should it come late, give it back at once.
      locked.then(() => file.close(), () => file.close());
      throw error;
    }
    return () => file.close();
  },
};
