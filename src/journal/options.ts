/** What a journal is opened with, and whom it tells of what it does. */
import type { Clock } from "../ports/clock.ts";
import type { IntakeListener } from "../ports/intake.ts";
import type { JournalFileSystem } from "../disk/file_system.ts";
import type { DamageReport } from "./survey.ts";

export interface JournalOptions {
  readonly dir: string;
  /** Above it, pushes are refused. */
  readonly maxBytes: number;
  /**
   * So long settled segments are kept, in milliseconds, unless their bytes are needed for new
   * writes: what is in them is sent again when the store went back.
   */
  readonly retainMs: number;
  readonly listener: IntakeListener;
  /**
   * A segment is completed at this size, or at a quarter of `maxBytes` if that is less. Default 64
   * MiB, or 1/256 of `maxBytes`.
   */
  readonly segmentBytes?: number;
  readonly fs?: JournalFileSystem;
  /** Unix milliseconds. */
  readonly now?: () => number;
  /** Milliseconds by a clock that is never set. */
  readonly monotonicMs?: () => number;
  /**
   * Runs the regular look at whether the files are at their place, and what was kept long enough;
   * without it that is done with writes and settlements only.
   */
  readonly setInterval?: Clock["setInterval"];
  readonly observer?: JournalObserver;
}

/** Told of what metrics and logs should show. */
export interface JournalObserver {
  onFsync?(durationMs: number, groupRecords: number): void;
  onDamage?(report: DamageReport): void;
  /** Something failed that is tried again: a checkpoint, the removal of a segment. */
  onFault?(reason: string): void;
  /** Nothing can be made durable any more; told once. */
  onFailed?(reason: string): void;
  /**
   * The journal is open. @param lastAcceptedMs of the last write it knows of, Unix milliseconds; 0
   * when it knows none
   */
  onOpened?(lastAcceptedMs: number): void;
}
