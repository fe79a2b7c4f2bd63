/**
 * The words of the business: a write as a client sends it, an entry as the service keeps it, and
 * the one rule for which of two entries is newer. Knows nothing of HTTP, files or databases.
 */
import type { TraceContext } from "./trace_context.ts";

/** A client asks for this to be recorded. */
export interface Write {
  /** It has 1 to 512 bytes of UTF-8, and no NUL, which PostgreSQL could not keep. */
  readonly userId: string;
  /** It is any text without NUL, and may be empty. */
  readonly value: string;
  /**
   * It is in Unix seconds, and chosen by the client; without a choice it is the time of acceptance.
   */
  readonly ts: number;
  /** What is done with it is told under this; undefined where its request is not sampled. */
  readonly trace?: TraceContext;
}

/** These say how much must have happened to a write before it is answered, from least to most. */
export const ACK_LEVELS = ["accepted", "durable", "replicated", "flushed"] as const;

/**
 * `accepted` is in memory, `durable` is fsynced in the journal, `replicated` is confirmed by the
 * broker, `flushed` is committed in the store.
 */
export type AckLevel = (typeof ACK_LEVELS)[number];

/** It says where an entry stands in the total order of all entries, over every instance. */
export interface Version {
  /** It is in Unix seconds. */
  readonly ts: number;
  /**
   * It is the time of acceptance in Unix milliseconds, and never goes back within an instance. It
   * is 0 in rows that others inserted.
   */
  readonly acceptedMs: number;
  /**
   * It names the start of the process that accepted the entry, in {@link INSTANCE_ID_LENGTH}
   * characters of `[0-9a-z]`; in format 1 of the journal it names the instance. It is empty in rows
   * that others inserted.
   */
  readonly run: string;
  /** Entries are numbered 1, 2, 3 … within a run; in rows that others inserted it is 0. */
  readonly seq: number;
}

/** A write becomes an entry when it is accepted. */
export interface Entry extends Write, Version {}

/** It is an entry without its value, which may be long. */
export type ValuelessEntry = Omit<Entry, "value">;

export const INSTANCE_ID_LENGTH = 12;

/**
 * Orders two entries so that the newest wins: by larger `ts`, then later acceptance, then write id.
 * The result is negative when `a` is older than `b`, and 0 only for the same entry. Stores and
 * caches order by the same columns in the same sequence.
 */
export function compareVersions(a: Version, b: Version): number {
  return a.ts - b.ts || a.acceptedMs - b.acceptedMs || compareText(a.run, b.run) ||
    a.seq - b.seq;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Returns the newer of two entries, either of which may be missing. */
export function newest<E extends Version>(a: E | undefined, b: E | undefined): E | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return compareVersions(a, b) >= 0 ? a : b;
}

/** Returns the newest of the entries of each user. */
export function newestOfEach<E extends ValuelessEntry>(entries: readonly E[]): E[] {
  const byUser = new Map<string, E>();
  for (const entry of entries) {
    byUser.set(entry.userId, newest(byUser.get(entry.userId), entry) ?? entry);
  }
  return [...byUser.values()];
}

/** It names one accepted write for ever. */
export type WriteId = Pick<Version, "run" | "seq">;

/** Returns `<run>-<seq>`. */
export function writeId({ run, seq }: WriteId): string {
  return `${run}-${seq}`;
}

/**
 * An id has {@link INSTANCE_ID_LENGTH} characters, and a number of at most 16 digits that does not
 * begin with a zero.
 */
const WRITE_ID = new RegExp(`^([0-9a-z]{${INSTANCE_ID_LENGTH}})-([1-9][0-9]{0,15})$`);

/** Returns the parts of a write id; undefined when `id` is not one. */
export function parseWriteId(id: string): WriteId | undefined {
  const match = WRITE_ID.exec(id);
  return match ? { run: match[1]!, seq: Number(match[2]) } : undefined;
}

/** Returns the length of `text` in bytes of UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A surrogate pair is two units and four bytes, so each half adds one byte to its three for
    // two.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return bytes;
}

/** Returns which numbers from `first` through `last` none of these has, which ascend by `seq`. */
export function gapsIn(
  entries: readonly Pick<Version, "seq">[],
  first: number,
  last: number,
): { readonly first: number; readonly last: number }[] {
  if (entries.length === last - first + 1) return [];
  const gaps: { first: number; last: number }[] = [];
  let next = first;
  for (const { seq } of entries) {
    if (seq > next) gaps.push({ first: next, last: seq - 1 });
    next = seq + 1;
  }
  if (next <= last) gaps.push({ first: next, last });
  return gaps;
}

/**
 * Returns which numbers after a mark, through the last of these entries, were given out for nothing.
 * @param entries there is at least one, and they ascend by `seq`
 * @param lostThroughSeq through this number those that are missing were lost, and not withdrawn
 */
export function withdrawnIn(
  entries: readonly Pick<Version, "seq">[],
  mark: number,
  lostThroughSeq = 0,
): { readonly first: number; readonly last: number }[] {
  const after = Math.max(mark, lostThroughSeq);
  const audited = lostThroughSeq <= mark ? entries : entries.filter(({ seq }) => seq > after);
  return audited.length === 0 ? [] : gapsIn(audited, after + 1, audited.at(-1)!.seq);
}

/** Returns how many numbers there are in intervals that do not overlap; both ends belong to each. */
export function countNumbers(
  intervals: readonly { readonly first: number; readonly last: number }[],
): number {
  return intervals.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}
