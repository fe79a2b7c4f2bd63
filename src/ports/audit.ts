import type { Interval } from "./group_store.ts";

/**
 * Holds the numbers that each source gave out against what the store has of them. Up to the mark of
 * its source each number is a row, a dead letter, or gone for a reason that was noted. What a
 * release before this one brought is not known that well, and is left out. The errors are those of
 * `Store`.
 */
export interface Audit {
  /**
   * Compares sums of all numbers of all sources, of one moment. It reads the whole table once.
   * @returns the sources by name, those that only rows know among them
   */
  survey(): Promise<readonly SurveyedSource[]>;
  /** Compares each number of a source from `first` through `last`, of one moment, up to its mark. */
  check(source: string, first: number, last: number): Promise<Checked>;
  /** Returns the numbers of rows that no mark accounts for, at most `limit`, in order. */
  strays(source: string, limit: number): Promise<readonly number[]>;
  /**
   * Calls numbers accounted for that are missing, as a person knows why.
   * @returns so many numbers were missing
   */
  accept(source: string, gap: Interval, reason: string): Promise<number>;
  /** Returns sources with the numbers that can be checked quickly; none where that takes a scan. */
  samples(): Promise<readonly AuditedSource[]>;
}

export interface AuditedSource {
  readonly source: string;
  /** Numbers through this one were brought by a release that noted less, and are not audited. */
  readonly unknownThrough: number;
  readonly mark: number;
}

export interface SurveyedSource extends AuditedSource {
  /** So many rows have audited numbers … */
  readonly rows: number;
  /** … and so many have numbers that no mark accounts for, or are of a source without a mark. */
  readonly strays: number;
  readonly dead: number;
  /** So many numbers are gone, by the reason. */
  readonly gone: Readonly<Record<GoneReason, number>>;
  /** The sums are what they are when each number is there once. */
  readonly agrees: boolean;
}

/** `withdrawn`: its source never brought it, as it never became durable or its disk lost it. */
export type GoneReason = "retired" | "discarded" | "withdrawn" | "accepted";

export interface Checked {
  /** So many numbers were compared. */
  readonly numbers: number;
  readonly missing: Findings<Interval>;
  /** They are there more than once, as rows or dead letters. */
  readonly doubled: Findings<{ readonly seq: number; readonly times: number }>;
}

/** The first of what was found, in order, and of how many numbers that tells. */
export interface Findings<T> {
  readonly first: readonly T[];
  readonly numbers: number;
}
