/**
 * The disks of all machines as a process sees them that has them on a shared volume: `/volume/1` is
 * the data directory of the second machine.
 */
import type { JournalFile, JournalFileSystem } from "../../src/disk/file_system.ts";
import type { Neighbours } from "../../src/disk/neighbours.ts";
import { STORE_FILE } from "../../src/guarding/store_binding.ts";
import type { SimulatedDisk } from "./disk.ts";
import type { Process } from "./world.ts";

const DATA_DIR = "/data";

export class Volume implements Neighbours {
  static readonly ROOT = "/volume";
  /** It is not read-only by itself: whoever looks at it has to see to that. */
  readonly files: JournalFileSystem;

  constructor(
    private readonly disks: readonly SimulatedDisk[],
    private readonly process: Process,
    private readonly storeId: string,
  ) {
    this.files = {
      aheadBytes: 0,
      mkdir: () => Promise.resolve(),
      list: (path) => this.#list(path),
      open: (path, mode) => this.#open(path, mode),
      create: (path) => this.#at(path, (fs, own) => fs.create(own)),
      rename: (from, to) => this.#at(from, (fs, own) => fs.rename(own, this.#own(to))),
      remove: (path) => this.#at(path, (fs, own) => fs.remove(own)),
      syncDirectory: (path) => this.#at(path, (fs, own) => fs.syncDirectory(own)),
      lock: (path, limitMs) => this.#at(path, (fs, own) => fs.lock(own, limitMs)),
    };
  }

  directories(path: string): Promise<string[]> {
    return Promise.resolve(this.disks.map((_, number) => `${path}/${number}`));
  }

  isLocked(path: string): Promise<boolean> {
    return this.#disk(path).isLocked(this.process, this.#own(path));
  }

  async #list(path: string): Promise<string[]> {
    const names = await this.#at(path, (fs, own) => fs.list(own));
    // In a simulation nobody else is bound to a store, as there is but one.
    return this.#own(path) === DATA_DIR ? [...names, STORE_FILE] : names;
  }

  #open(path: string, mode: "read" | "write"): Promise<JournalFile> {
    if (this.#own(path) !== `${DATA_DIR}/${STORE_FILE}`) {
      return this.#at(path, (fs, own) => fs.open(own, mode));
    }
    const text = JSON.stringify({ kind: "postgres", identity: this.storeId, place: "here" });
    return Promise.resolve(fileOf(new TextEncoder().encode(text)));
  }

  #at<T>(path: string, call: (fs: JournalFileSystem, own: string) => T): T {
    return call(this.#disk(path).mount(this.process), this.#own(path));
  }

  #disk(path: string): SimulatedDisk {
    return this.disks[Number(path.split("/")[2])]!;
  }

  #own(path: string): string {
    return [DATA_DIR, ...path.split("/").slice(3)].join("/");
  }
}

function fileOf(bytes: Uint8Array): JournalFile {
  const refuse = () => Promise.reject(new Error("it is not to be written"));
  return {
    size: () => Promise.resolve(bytes.length),
    readAt: (into, offset) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return Promise.resolve(part.length);
    },
    writeAt: refuse,
    overwrite: refuse,
    truncate: refuse,
    sync: refuse,
    displaced: () => undefined,
    close() {},
  };
}
