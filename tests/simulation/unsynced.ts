/**
 * What a simulated disk remembers of a file and of its names, as long as a power loss may undo it.
 */
import { dirname } from "node:path";
import { GrowingBytes } from "./growing_bytes.ts";

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
