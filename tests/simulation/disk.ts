/**
 * A disk that is as unkind as disks are: a write is in the page cache until it is synced, a name
 * until its directory is; a power loss keeps of the rest whatever it likes, sector by sector.
 */
import { basename, dirname } from "node:path";
import type { JournalFile, JournalFileSystem } from "../../src/disk/file_system.ts";
import { type Change, Inode, type NameChange, removal, renaming } from "./unsynced.ts";
import type { Process, World } from "./world.ts";

interface DiskFaults {
  /** Of each call, while they last. */
  failedSyncs: number;
  failedWrites: number;
  failedReads: number;
  full: boolean;
}

interface Operation {
  readonly process: Process;
  /** What a kill in the middle of it may have brought about. */
  readonly partly: () => void;
}

/** Flips in one header copy are survived, in both they are not: one a file. */
const HEADER_COPIES_END = 4096 + 84;

export class SimulatedDisk {
  readonly faults: DiskFaults = { failedSyncs: 0, failedWrites: 0, failedReads: 0, full: false };
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  #order = 0;
  readonly #locks = new Map<string, Process>();
  readonly #underWay = new Set<Operation>();

  /** Small beside a segment, so that all ways of writing come up. */
  readonly #aheadBytes: number;

  constructor(private readonly world: World) {
    this.#aheadBytes = world.random.pick([0, 3_000, 16_000]);
  }

  /** The disk as a process sees it. */
  mount(process: Process): JournalFileSystem {
    return {
      aheadBytes: this.#aheadBytes,
      mkdir: () => Promise.resolve(),
      list: (path) => this.#perform(process, `list ${basename(path)}`, () => this.#list(path)),
      create: (path) =>
        this.#perform(process, `create ${basename(path)}`, () => this.#create(process, path)),
      open: (path) =>
        this.#perform(process, `open ${basename(path)}`, () => this.#handle(process, path)),
      rename: (from, to) =>
        this.#change(process, `rename ${basename(from)} ${basename(to)}`, renaming(from, to)),
      remove: (path) => this.#change(process, `remove ${basename(path)}`, removal(path)),
      syncDirectory: (path) =>
        this.#perform(
          process,
          `sync directory ${basename(path)}`,
          () => this.#syncDirectory(path),
          this.#syncMs(),
        ),
      lock: (path) => this.#perform(process, "lock", () => this.#lock(process, path)),
    };
  }

  /** Asked by a process of another machine, to which the volume is mounted, too. */
  isLocked(process: Process, path: string): Promise<boolean> {
    return this.#perform(process, "is it locked", () => this.#locks.has(path));
  }

  /** The process is gone; what it had asked for may be half done. */
  kill(process: Process): void {
    for (const operation of this.#underWay) {
      if (operation.process !== process) continue;
      this.#underWay.delete(operation);
      if (this.world.random.chance(0.5)) operation.partly();
    }
    for (const [path, owner] of this.#locks) if (owner === process) this.#locks.delete(path);
  }

  /** Of what was not synced, some is there, and some is not. */
  losePower(): void {
    const { random } = this.world;
    const kept = random.below(this.#nameChanges.length + 1);
    for (const { apply } of this.#nameChanges.slice(0, kept)) apply(this.#durableNames);
    this.#nameChanges = [];
    this.#names = new Map(this.#durableNames);
    for (const inode of new Set(this.#names.values())) {
      inode.losePower(random);
    }
  }

  /**
   * How much of a file had been synced whenever the power was lost: what follows may be in pieces.
   */
  wholeBytes(path: string): number {
    return this.#names.get(path)?.wholeBytes ?? Infinity;
  }

  /** Files by their visible content, for those who look for something to damage. */
  get files(): readonly { path: string; bytes: Uint8Array }[] {
    return [...this.#names].map(([path, { visible }]) => ({ path, bytes: visible.view }));
  }

  /** Flips one bit for good; false when that place has still to be written. */
  flipBit(path: string, offset: number, bit: number): boolean {
    const inode = this.#names.get(path);
    if (inode === undefined || inode.pending.length > 0) return false;
    if (offset < HEADER_COPIES_END) {
      if (inode.headerFlipped) return false;
      inode.headerFlipped = true;
    }
    for (const copy of [inode.visible, inode.durable]) copy.view[offset]! ^= 1 << bit;
    return true;
  }

  #perform<T>(
    process: Process,
    what: string,
    effect: () => T,
    delayMs = this.world.random.between(0.02, 0.5),
    partly: () => void = effect,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const operation = { process, partly: () => ignoreFailure(partly) };
    this.#underWay.add(operation);
    this.world.after(delayMs, what, () => {
      this.#underWay.delete(operation);
      if (!process.alive) return;
      try {
        resolve(effect());
      } catch (error) {
        reject(error);
      }
    });
    return promise;
  }

  #syncMs(): number {
    const { random } = this.world;
    return random.chance(0.02) ? random.between(50, 800) : random.between(0.5, 8);
  }

  #list(path: string): string[] {
    return [...this.#names.keys()].filter((name) => dirname(name) === path).map((name) =>
      basename(name)
    );
  }

  #create(process: Process, path: string): JournalFile {
    if (this.#names.has(path)) throw new Deno.errors.AlreadyExists(path);
    if (this.faults.full && this.world.random.chance(0.5)) throw this.#diskFull();
    const inode = new Inode();
    this.#rename({ dirs: [dirname(path)], apply: (names) => names.set(path, inode) });
    return this.#handle(process, path);
  }

  #change(process: Process, what: string, change: NameChange): Promise<void> {
    return this.#perform(process, what, () => this.#rename(change));
  }

  #rename(change: NameChange): void {
    change.apply(this.#names);
    this.#nameChanges.push(change);
  }

  #syncDirectory(path: string): void {
    this.#nameChanges = this.#nameChanges.filter(({ dirs, apply }) => {
      if (!dirs.includes(path)) return true;
      apply(this.#durableNames);
      return false;
    });
  }

  #lock(process: Process, path: string): JournalFile {
    if (this.#locks.has(path)) throw new Error("locked by another process");
    this.#locks.set(path, process);
    // Nothing is ever written to it, and it may as well be durable.
    const inode = this.#names.get(path) ?? new Inode();
    for (const names of [this.#names, this.#durableNames]) names.set(path, inode);
    return {
      ...this.#handle(process, path),
      close: () => {
        if (this.#locks.get(path) === process) this.#locks.delete(path);
      },
    };
  }

  #handle(process: Process, path: string): JournalFile {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Deno.errors.NotFound(path);
    const name = basename(path);
    return {
      size: () => this.#perform(process, `size ${name}`, () => inode.visible.length),
      readAt: (into, offset) =>
        this.#perform(process, `read ${name}`, () => this.#read(inode, into, offset)),
      writeAt: (bytes, offset) => this.#write(process, name, inode, bytes.slice(), offset),
      overwrite: (bytes, offset) => this.#overwrite(process, name, inode, bytes.slice(), offset),
      truncate: (size) =>
        this.#perform(process, `truncate ${name} ${size}`, () => this.#apply(inode, { size })),
      sync: () => this.#sync(process, name, inode),
      displaced: () =>
        this.#names.get(path) === inode ? undefined : `${path} is another file, or none`,
      close() {},
    };
  }

  #read(inode: Inode, into: Uint8Array, offset: number): number {
    if (this.world.random.chance(this.faults.failedReads)) {
      throw this.#failure("EIO", "read failed");
    }
    const bytes = inode.visible.view.subarray(offset, offset + into.length);
    into.set(bytes);
    return bytes.length;
  }

  #write(
    process: Process,
    name: string,
    inode: Inode,
    bytes: Uint8Array,
    offset: number,
  ): Promise<void> {
    const writeSome = () => {
      const part = bytes.subarray(0, this.world.random.below(bytes.length + 1));
      if (part.length > 0) this.#apply(inode, { offset, bytes: part });
    };
    return this.#perform(
      process,
      `write ${name} ${bytes.length}`,
      () => {
        if (this.faults.full) {
          writeSome();
          throw this.#diskFull();
        }
        if (this.world.random.chance(this.faults.failedWrites)) {
          writeSome();
          throw this.#failure("EIO", "write failed");
        }
        this.#apply(inode, { offset, bytes });
      },
      undefined,
      writeSome,
    );
  }

  /** In place there is room on a full disk, too. A failure leaves some of it, synced or not. */
  #overwrite(
    process: Process,
    name: string,
    inode: Inode,
    bytes: Uint8Array,
    offset: number,
  ): Promise<void> {
    const writeSome = () => {
      this.#apply(inode, {
        offset,
        bytes: bytes.subarray(0, this.world.random.below(bytes.length)),
      });
    };
    return this.#perform(
      process,
      `overwrite ${name} ${bytes.length}`,
      () => {
        if (offset + bytes.length > inode.durable.length) {
          this.world.violated(`${name} is overwritten where it was not synced`);
        }
        const { failedSyncs, failedWrites } = this.faults;
        if (this.world.random.chance(failedSyncs + failedWrites)) {
          writeSome();
          throw this.#failure("EIO", "sync failed");
        }
        this.#apply(inode, { offset, bytes });
        inode.durable.apply({ offset, bytes });
        inode.pending.pop();
      },
      this.#syncMs(),
      writeSome,
    );
  }

  #apply(inode: Inode, change: Change): void {
    inode.visible.apply(change);
    inode.pending.push({ order: this.#order++, change });
  }

  #sync(process: Process, name: string, inode: Inode): Promise<void> {
    // Only what was written before the call is covered.
    const before = this.#order;
    const commit = () => inode.sync(before);
    return this.#perform(
      process,
      `sync ${name}`,
      () => {
        if (!this.world.random.chance(this.faults.failedSyncs)) return commit();
        inode.failSync(before, this.world.random);
        throw this.#failure("EIO", "sync failed");
      },
      this.#syncMs(),
      commit,
    );
  }

  #diskFull(): Error {
    return this.#failure("ENOSPC", "disk full");
  }

  #failure(code: string, fault: string): Error {
    this.world.fault(fault);
    return Object.assign(new Error(fault), { code });
  }
}

/** What a dead process had asked for may be impossible by now. */
function ignoreFailure(work: () => void): void {
  try {
    work();
  } catch {
    // Nobody waits for it any more.
  }
}
