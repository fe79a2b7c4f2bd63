/**
 * What a simulated disk remembers of a file and of its names, as long as a power loss may undo it.
 */
import { dirname } from "node:path";
import type { Random } from "../support/random.ts";
import { GrowingBytes } from "./growing_bytes.ts";

const SECTOR_BYTES = 512;

export type Change = { readonly offset: number; readonly bytes: Uint8Array } | {
  readonly size: number;
};

interface Pending {
  readonly order: number;
  readonly change: Change;
}

export class Inode {
  /** What programs see, what a power loss leaves in any case, and what it may or may not leave. */
  readonly visible = new GrowingBytes();
  readonly durable = new GrowingBytes();
  pending: Pending[] = [];
  wholeBytes = Infinity;
  headerFlipped = false;

  /** What was asked for before this is durable. */
  sync(before: number): void {
    for (const { change, order } of this.pending) if (order < before) this.durable.apply(change);
    this.pending = this.pending.filter(({ order }) => order >= before);
  }

  /**
   * As Linux does it: the pages are called clean, and whether a reader still sees them differs by
   * file system.
   */
  failSync(before: number, random: Random): void {
    this.pending = this.pending.filter(({ order }) => order >= before);
    if (!random.chance(0.5)) return;
    this.visible.become(this.durable);
    for (const { change } of this.pending) this.visible.apply(change);
  }

  losePower(random: Random): void {
    // Behind what was synced stand the zeros of a file that was filled ahead.
    const written = this.durable.view.findLastIndex((byte) => byte !== 0) + 1;
    this.wholeBytes = Math.min(this.wholeBytes, written);
    for (const { change } of this.pending) this.#keepSome(change, random);
    this.pending = [];
    this.visible.become(this.durable);
  }

  #keepSome(change: Change, random: Random): void {
    if (random.chance(0.3)) return;
    if (!("bytes" in change) || random.chance(0.3)) return this.durable.apply(change);
    for (let at = 0; at < change.bytes.length; at += SECTOR_BYTES) {
      if (random.chance(0.3)) continue;
      const bytes = change.bytes.subarray(at, at + SECTOR_BYTES);
      this.durable.apply({ offset: change.offset + at, bytes });
    }
  }
}

export interface NameChange {
  readonly dirs: readonly string[];
  readonly apply: (names: Map<string, Inode>) => void;
}

export function renaming(from: string, to: string): NameChange {
  let moved: Inode | undefined;
  return {
    dirs: [dirname(from), dirname(to)],
    apply: (names) => {
      moved ??= names.get(from);
      if (moved === undefined) throw new Deno.errors.NotFound(from);
      names.set(to, moved);
      names.delete(from);
    },
  };
}

export function removal(path: string): NameChange {
  let removed = false;
  return {
    dirs: [dirname(path)],
    apply: (names) => {
      if (!names.delete(path) && !removed) throw new Deno.errors.NotFound(path);
      removed = true;
    },
  };
}
