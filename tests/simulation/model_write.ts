/** What the model knows of one write. */
import type { AckLevel, Entry } from "../../src/domain.ts";
import { REFUSED } from "./store.ts";

export interface ModelWrite {
  /** It was sent to this one. */
  readonly machine: number;
  readonly userId: string;
  /** Unlike that of any other write: it names this one wherever it turns up. */
  readonly value: string;
  readonly ts: number;
  /** Undefined until the answer; then what the client was told. */
  answer:
    | { readonly ack: AckLevel; readonly entry: Entry }
    | { readonly refused: string }
    | undefined;
  /** A bit of its only copy was flipped: it may be lost, and no other. */
  excused: boolean;
  /** When the journal let go of it; undefined before. */
  settledMs: number | undefined;
  /** The store went back and has it no longer, and nobody has noticed yet. */
  isGone: boolean;
  /** When that was last so; -Infinity: never. */
  goneMs: number;
  /** It came to the store again then, before anybody had noticed that it was gone. */
  backMs: number;
  /** The broker told who sent it there that it is safe. */
  isConfirmed: boolean;
  rows: number;
  deadLetters: number;
}

type Sent = Pick<ModelWrite, "machine" | "userId" | "value" | "ts">;

export function sentWrite(sent: Sent): ModelWrite {
  return {
    ...sent,
    answer: undefined,
    excused: false,
    settledMs: undefined,
    isGone: false,
    goneMs: -Infinity,
    backMs: -Infinity,
    isConfirmed: false,
    rows: 0,
    deadLetters: 0,
  };
}

/** Of a write that a client was told is durable. */
export function promisedEntry({ answer }: ModelWrite): Entry | undefined {
  return answer !== undefined && "entry" in answer && answer.ack !== "accepted"
    ? answer.entry
    : undefined;
}

export function isStored({ rows, deadLetters }: ModelWrite): boolean {
  return rows + deadLetters > 0;
}

export function isRefusedValue({ value }: ModelWrite): boolean {
  return value.startsWith(REFUSED);
}

/** A value without its padding. */
export function nameOf({ value }: Pick<ModelWrite, "value">): string {
  return value.split(":")[0]!;
}

/**
 * The store lost it after it was settled, and has it again, by the broker or an adopter, before its
 * machine noticed: of that nobody has told the cache, or whoever remembers that nothing was there.
 */
export function cameAgainUnseen({ settledMs, goneMs }: ModelWrite): boolean {
  return settledMs !== undefined && settledMs <= goneMs;
}
