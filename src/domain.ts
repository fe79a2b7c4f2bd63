/**
 * The words of the business: a write as a client sends it, an entry as the service keeps it, and
 * the one rule for which of two entries is newer. Knows nothing of HTTP, files or databases.
 */

/** What a client asks to be recorded. */
export interface Write {
  /** 1..512 bytes of UTF-8, no NUL. */
  readonly userId: string;
  /** Any text without NUL; may be empty. */
  readonly value: string;
  /** Unix seconds, chosen by the client or the time of acceptance. */
  readonly ts: number;
}

/** How much must have happened to a write before it is answered, from least to most. */
export const ACK_LEVELS = ["accepted", "durable", "flushed"] as const;

/** accepted: in memory; durable: fsynced in the journal; flushed: committed in the store. */
export type AckLevel = (typeof ACK_LEVELS)[number];

/** Where an entry stands in the total order of all entries, over every instance. */
export interface Version {
  /** Unix seconds. */
  readonly ts: number;
  /**
   * Unix milliseconds at acceptance; never goes back within an instance. 0 in rows that others
   * inserted.
   */
  readonly acceptedMs: number;
  /** {@link INSTANCE_ID_LENGTH} characters of `[0-9a-z]`; empty in rows that others inserted. */
  readonly run: string;
  /** 1, 2, 3 … within an instance; 0 in rows that others inserted. */
  readonly seq: number;
}

/** An accepted write. */
export interface Entry extends Write, Version {}

export const INSTANCE_ID_LENGTH = 12;

/**
 * The newest-wins rule: larger `ts`, then later acceptance, then write id. Negative when `a` is
 * older than `b`, 0 only for the same entry. Stores and caches order by the same columns in the
 * same sequence.
 */
export function compareVersions(a: Version, b: Version): number {
  return a.ts - b.ts || a.acceptedMs - b.acceptedMs || compareText(a.run, b.run) ||
    a.seq - b.seq;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The newer of two entries, either of which may be missing. */
export function newest(a: Entry | undefined, b: Entry | undefined): Entry | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return compareVersions(a, b) >= 0 ? a : b;
}

/** `<instance>-<seq>`: names one accepted write for ever. */
export function writeId(version: Version): string {
  return `${version.run}-${version.seq}`;
}

/** {@link INSTANCE_ID_LENGTH} characters, and a number without leading zeros of 16 digits at most. */
const WRITE_ID = new RegExp(`^([0-9a-z]{${INSTANCE_ID_LENGTH}})-([1-9][0-9]{0,15})$`);

/** The parts of a write id, or undefined when `id` is not one. */
export function parseWriteId(id: string): { run: string; seq: number } | undefined {
  const match = WRITE_ID.exec(id);
  return match ? { run: match[1]!, seq: Number(match[2]) } : undefined;
}

/** The length of `text` in bytes of UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A surrogate pair is two units and four bytes: one extra byte for each half.
    if (unit > 0x7f) bytes += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return bytes;
}
