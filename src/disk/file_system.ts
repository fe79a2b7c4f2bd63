/**
 * Says what the journal asks of a file system, as narrow as it gets, and has the one implementation
 * that touches the disk. Everything the journal does goes through here, so that a simulated disk
 * can lose what was not synced.
 */
import { dirname } from "node:path";
import { withDeadline } from "../deadline.ts";
import { reasonOf } from "../errors.ts";

export interface JournalFile {
  size(): Promise<number>;
  /**
   * Fills `into` from `offset` on; returns the bytes read, fewer only at the end of the file. Calls
   * may overlap.
   */
  readAt(into: Uint8Array, offset: number): Promise<number>;
  /** Writes all of `bytes` at `offset`, or rejects; then any part of them may have been written. */
  writeAt(bytes: Uint8Array, offset: number): Promise<void>;
  /**
   * Writes all of `bytes` over what is there, in a stretch that was written and synced before, and
   * resolves when they would survive a power loss. After an error any part of them may have been
   * written. Other calls may overlap that concern other places.
   */
  overwrite(bytes: Uint8Array, offset: number): Promise<void>;
  truncate(size: number): Promise<void>;
  /**
   * Resolves when content and size would survive a power loss (fdatasync). The name needs {@link
   * JournalFileSystem.syncDirectory}.
   */
  sync(): Promise<void>;
  /**
   * Says why the path by which it was opened does not lead to this file any more, for a person: it
   * was removed, moved, mounted over. It is undefined while the path does. What is written into a
   * displaced file is gone with the process. It answers at once: to be asked after each sync, it
   * must not cost a turn of the event loop.
   */
  displaced(): string | undefined;
  close(): void;
}

export interface JournalFileSystem {
  /**
   * A file that records are appended to is filled with so many zeros ahead, because {@link
   * JournalFile.overwrite} takes less time than to make it longer; 0 where it does not.
   */
  readonly aheadBytes: number;
  /**
   * Makes a directory and those above it that are missing, and makes their names durable. It is
   * fine when the directory exists. It rejects with what is in the way when something else is
   * there: a file, a symbolic link to nowhere.
   */
  mkdir(path: string): Promise<void>;
  /**
   * Returns the names in a directory; none when there is no such directory. It rejects as {@link
   * mkdir} does when something else is there.
   */
  list(path: string): Promise<string[]>;
  /** Makes a new file, open for reading and writing. It rejects when the name is taken. */
  create(path: string): Promise<JournalFile>;
  /** Opens an existing file. */
  open(path: string, mode: "read" | "write"): Promise<JournalFile>;
  /** Renames a file, and replaces `to` when that exists. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes the names created, renamed and removed in a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Takes the exclusive lock on a file, made when missing, until it is closed. It rejects when the
   * lock is not had within `limitMs`.
   */
  lock(path: string, limitMs: number): Promise<JournalFile>;
}

/**
 * Returns true for "the disk is full" and "the quota is used up", which a write may get over when
 * space comes back.
 */
export function isDiskFull(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "ENOSPC" || code === "EDQUOT";
}

type FileIdentity = Pick<Deno.FileInfo, "dev" | "ino">;

class DenoFile implements JournalFile {
  /**
   * Reads take turns, because seek and read are two calls: or one read would move the other's
   * place.
   */
  #turn: Promise<unknown> = Promise.resolve();

  #identity: FileIdentity | undefined;
  /** It is opened anew, as what is synced through one handle does not wait for the other. */
  #overwriting: Deno.FsFile | undefined;

  constructor(private readonly file: Deno.FsFile, private readonly path: string) {}

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

  /**
   * The write only reaches the page cache, which takes less time than to have another thread do it;
   * O_DSYNC would do both at once, but the runtime writes through such a file in the event loop.
   */
  async overwrite(bytes: Uint8Array, offset: number): Promise<void> {
    const file = this.#overwriting ??= this.#openAgain();
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    try {
      await file.syncData();
    } catch (cause) {
      // Whatever it says, it is not the error of a write: nobody knows what the disk has.
      throw new Error(`fsync of ${this.path} failed: ${reasonOf(cause)}`, { cause });
    }
  }

  truncate(size: number): Promise<void> {
    return this.#inTurn(() => this.file.truncate(size));
  }

  sync(): Promise<void> {
    return this.#inTurn(() => this.file.syncData());
  }

  displaced(): string | undefined {
    try {
      this.#identity ??= this.file.statSync();
      const { dev, ino } = Deno.statSync(this.path);
      if (dev === this.#identity.dev && ino === this.#identity.ino) return undefined;
      return `another file has taken the place of ${this.path}`;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return `${this.path} is not there any more`;
      return `${this.path} cannot be looked up any more: ${reasonOf(error)}`;
    }
  }

  close(): void {
    this.file.close();
    this.#overwriting?.close();
  }

  #openAgain(): Deno.FsFile {
    const again = Deno.openSync(this.path, { write: true });
    const { dev, ino } = again.statSync();
    this.#identity ??= this.file.statSync();
    if (dev === this.#identity.dev && ino === this.#identity.ino) return again;
    again.close();
    throw new Error(`another file has taken the place of ${this.path}`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** It is some seconds of small writes, and little beside a segment. */
const AHEAD_BYTES = 4 * 1024 * 1024;

export const denoFileSystem: JournalFileSystem = {
  aheadBytes: AHEAD_BYTES,

  async mkdir(path) {
    try {
      await Deno.mkdir(path);
    } catch (error) {
      await refuseObstacle(path);
      if (error instanceof Deno.errors.AlreadyExists) return;
      if (!(error instanceof Deno.errors.NotFound) || dirname(path) === path) throw error;
      await this.mkdir(dirname(path));
      await Deno.mkdir(path, { recursive: true });
    }
    await this.syncDirectory(dirname(path));
  },

  async list(path) {
    try {
      return (await Array.fromAsync(Deno.readDir(path))).map((item) => item.name);
    } catch (error) {
      await refuseObstacle(path);
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  },

  async create(path) {
    return new DenoFile(await Deno.open(path, { read: true, write: true, createNew: true }), path);
  },

  async open(path, mode) {
    return new DenoFile(await Deno.open(path, { read: true, write: mode === "write" }), path);
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
    return new DenoFile(file, path);
  },
};

async function refuseObstacle(path: string): Promise<void> {
  const obstacle = await obstacleAt(path);
  if (obstacle !== undefined) throw new Error(`Cannot use the directory ${path}: ${obstacle}`);
}

/**
 * Returns what is in the way of a directory at `path`, for a person; undefined when it is there, or
 * nothing keeps it from being made but directories that are missing.
 */
async function obstacleAt(path: string): Promise<string | undefined> {
  let found: Deno.FileInfo;
  try {
    found = await Deno.lstat(path);
  } catch (error) {
    const perhapsAbove = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory ||
      error instanceof Deno.errors.FilesystemLoop;
    if (!perhapsAbove) return `${path} cannot be looked up: ${reasonOf(error)}`;
    return dirname(path) === path ? undefined : await obstacleAt(dirname(path));
  }
  if (found.isDirectory) return undefined;
  return found.isSymlink ? await obstacleBehind(path) : `${path} is not a directory`;
}

async function obstacleBehind(link: string): Promise<string | undefined> {
  const to = `${link} is a symbolic link to ${await Deno.readLink(link)}`;
  try {
    return (await Deno.stat(link)).isDirectory ? undefined : `${to}, which is not a directory`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `${to}, which is not there`;
    return `${to}, which cannot be followed: ${reasonOf(error)}`;
  }
}
