/**
 * A disk in memory that keeps two truths: what programs see, and what would survive a power loss.
 * Records what is asked of it in order, and fails on demand.
 */
import { basename, dirname } from "node:path";
import type { JournalFile, JournalFileSystem } from "../../src/disk/file_system.ts";

interface Inode {
  content: Uint8Array;
  durable: Uint8Array;
  /** These become durable when their syncs are done. */
  readonly syncing: Set<Uint8Array>;
}

function inodeOf(bytes: Uint8Array = new Uint8Array(0)): Inode {
  return { content: bytes.slice(), durable: bytes.slice(), syncing: new Set() };
}

export class FakeFileSystem implements JournalFileSystem {
  /**
   * `sync 0001.seg`, `rename checkpoint.tmp checkpoint`, `remove …`, `syncDirectory`, …; reads are
   * left out.
   */
  readonly events: string[] = [];
  /**
   * Asked before every sync of a file; a thrown error is what it fails with, a promise delays it.
   */
  beforeSync: (name: string) => Promise<void> | void = () => {};
  /** Told before a file is removed. */
  beforeRemove: (name: string) => void = () => {};
  /** Bytes that may still be written before the disk is full. */
  freeBytes = Infinity;
  aheadBytes = 0;
  readonly #names: Map<string, Inode>;
  readonly #durableNames: Map<string, Inode>;
  readonly #locked = new Set<Inode>();

  constructor(files = new Map<string, Inode>()) {
    this.#names = files;
    this.#durableNames = new Map(files);
  }

  /** The disk after a power loss at this moment: nothing that was not synced, no lock. */
  afterPowerLoss(): FakeFileSystem {
    const files = new Map<string, Inode>();
    for (const [path, { durable }] of this.#durableNames) {
      files.set(path, inodeOf(durable));
    }
    return new FakeFileSystem(files);
  }

  /** A file that was there, and durable, before anybody looked. */
  put(path: string, content: Uint8Array): void {
    const inode = inodeOf(content);
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  count(event: string): number {
    return this.events.filter((each) => each.startsWith(event)).length;
  }

  /**
   * Takes away a file, or everything in a directory, as somebody does who removes it or moves it
   * elsewhere.
   */
  takeAway(dir: string): Map<string, Inode> {
    const taken = new Map(
      [...this.#names].filter(([path]) => path === dir || path.startsWith(`${dir}/`)),
    );
    for (const path of taken.keys()) this.#names.delete(path);
    return taken;
  }

  /** Undoes {@link takeAway}, or puts the files of another disk there. */
  putBack(files: ReadonlyMap<string, Inode>): void {
    for (const [path, inode] of files) this.#names.set(path, inode);
  }

  paths(): string[] {
    return [...this.#names.keys()].sort();
  }

  content(path: string): Uint8Array {
    return this.#find(path).content;
  }

  mkdir(): Promise<void> {
    return Promise.resolve();
  }

  list(path: string): Promise<string[]> {
    return Promise.resolve(
      [...this.#names.keys()].filter((name) => dirname(name) === path).map((name) =>
        basename(name)
      ),
    );
  }

  create(path: string): Promise<JournalFile> {
    if (this.#names.has(path)) return Promise.reject(new Deno.errors.AlreadyExists(path));
    this.events.push(`create ${basename(path)}`);
    const inode = inodeOf();
    this.#names.set(path, inode);
    return Promise.resolve(this.#handle(path, inode));
  }

  open(path: string): Promise<JournalFile> {
    return new Promise((resolve) => resolve(this.#handle(path, this.#find(path))));
  }

  rename(from: string, to: string): Promise<void> {
    this.events.push(`rename ${basename(from)} ${basename(to)}`);
    this.freeBytes += this.#names.get(to)?.content.length ?? 0;
    this.#names.set(to, this.#find(from));
    this.#names.delete(from);
    return Promise.resolve();
  }

  remove(path: string): Promise<void> {
    this.events.push(`remove ${basename(path)}`);
    const { content } = this.#find(path);
    this.beforeRemove(basename(path));
    this.freeBytes += content.length;
    this.#names.delete(path);
    return Promise.resolve();
  }

  syncDirectory(path: string): Promise<void> {
    this.events.push("syncDirectory");
    for (const name of [...this.#durableNames.keys()]) {
      if (dirname(name) === path) this.#durableNames.delete(name);
    }
    for (const [name, inode] of this.#names) {
      if (dirname(name) === path) this.#durableNames.set(name, inode);
    }
    return Promise.resolve();
  }

  lock(path: string): Promise<JournalFile> {
    const inode = this.#names.get(path) ?? inodeOf();
    if (this.#locked.has(inode)) return Promise.reject(new Error("locked elsewhere"));
    this.#names.set(path, inode);
    this.#locked.add(inode);
    return Promise.resolve({
      ...this.#handle(path, inode),
      close: () => this.#locked.delete(inode),
    });
  }

  isLocked(path: string): boolean {
    const inode = this.#names.get(path);
    return inode !== undefined && this.#locked.has(inode);
  }

  #find(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Deno.errors.NotFound(path);
    return inode;
  }

  #handle(path: string, inode: Inode): JournalFile {
    const name = basename(path);
    return {
      size: () => Promise.resolve(inode.content.length),
      readAt(into, offset) {
        const bytes = inode.content.subarray(offset, offset + into.length);
        into.set(bytes);
        return Promise.resolve(bytes.length);
      },
      writeAt: (bytes, offset) => this.#write(name, inode, bytes, offset),
      overwrite: async (bytes, offset) => {
        await this.beforeSync(name);
        this.events.push(`overwrite ${name} ${bytes.length}`);
        for (const content of [inode.content, inode.durable, ...inode.syncing]) {
          if (offset + bytes.length > content.length) throw new Error("not filled ahead");
          content.set(bytes, offset);
        }
      },
      truncate: (size) => {
        this.events.push(`truncate ${name} ${size}`);
        this.freeBytes += Math.max(0, inode.content.length - size);
        inode.content = inode.content.slice(0, size);
        return Promise.resolve();
      },
      sync: async () => {
        const synced = inode.content.slice();
        inode.syncing.add(synced);
        await this.beforeSync(name);
        this.events.push(`sync ${name}`);
        inode.syncing.delete(synced);
        inode.durable = synced;
      },
      displaced: () => {
        const found = this.#names.get(path);
        if (found === inode) return undefined;
        return found === undefined ? `${path} is gone` : `${path} is another file`;
      },
      close() {},
    };
  }

  #write(name: string, inode: Inode, bytes: Uint8Array, offset: number): Promise<void> {
    this.events.push(`write ${name} ${bytes.length}`);
    const written = bytes.subarray(0, Math.min(bytes.length, this.freeBytes));
    const grown = new Uint8Array(Math.max(inode.content.length, offset + written.length));
    grown.set(inode.content);
    grown.set(written, offset);
    inode.content = grown;
    this.freeBytes -= written.length;
    if (written.length === bytes.length) return Promise.resolve();
    return Promise.reject(Object.assign(new Error("No space left on device"), { code: "ENOSPC" }));
  }
}
