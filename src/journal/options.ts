/** A journal is opened with these, and tells an observer of what it does. */
import type { Clock } from "../ports/clock.ts";
import type { IntakeListener } from "../ports/intake.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { DamageReport } from "./survey.ts";

/** A segment is small enough to give its space back soon, and large enough that few are open. */
const SEGMENT_BYTES = 64 * 1024 * 1024;
/** Each segment takes a file descriptor, so that a journal larger than so many gets larger ones. */
const SEGMENTS_MAX = 256;

export interface JournalOptions {
  readonly dir: string;
  /** Pushes are refused above it. */
  readonly maxBytes: number;
  /**
   * Settled segments are kept for so many milliseconds, unless their bytes are needed for new
   * writes: what is in them is sent again when the store went back.
   */
  readonly retainMs: number;
  readonly listener: IntakeListener;
  /**
   * A segment is completed at this size, or at a quarter of `maxBytes` if that is less. The default
   * is 64 MiB, or 1/256 of `maxBytes`.
   */
  readonly segmentBytes?: number;
  readonly fs?: JournalFileSystem;
  /** It returns Unix milliseconds. */
  readonly now?: () => number;
  /** It returns milliseconds by a clock that is never set. */
  readonly monotonicMs?: () => number;
  /**
   * It runs the regular look at whether the files are at their place, and what was kept long
   * enough; without it that is done with writes and settlements only.
   */
  readonly setInterval?: Clock["setInterval"];
  /** Without it no group is put off for more to join it. */
  readonly setTimeout?: Clock["setTimeout"];
  readonly observer?: JournalObserver;
}

/** An observer is told of what metrics and logs should show. */
export interface JournalObserver {
  onFsync?(durationMs: number, groupRecords: number): void;
  onDamage?(report: DamageReport): void;
  /**
   * Is told of something that failed and is tried again: a checkpoint, the removal of a segment.
   */
  onFault?(reason: string): void;
  /** Is told once that nothing can be made durable any more. */
  onFailed?(reason: string): void;
  /**
   * Is told that the journal is open.
   * @param lastAcceptedMs of the last write it knows of, Unix milliseconds; 0 when it knows none
   */
  onOpened?(lastAcceptedMs: number): void;
}

/** Returns the size of a segment. Settled records can fill a segment, but never the journal. */
export function segmentBytesOf({ segmentBytes, maxBytes }: JournalOptions): number {
  const wanted = segmentBytes ?? Math.max(SEGMENT_BYTES, Math.ceil(maxBytes / SEGMENTS_MAX));
  return Math.min(wanted, Math.floor(maxBytes / 4));
}
