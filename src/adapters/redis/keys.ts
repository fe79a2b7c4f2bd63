/**
 * Says where a user's copy is kept, and how the text beside it says whose and which version it is.
 */
import crc32c from "crc-32/crc32c";
import { type Entry, INSTANCE_ID_LENGTH } from "../../domain.ts";
import type { CachedEntry } from "../../ports/cache.ts";

/**
 * It lays out the key names, all of which begin with the prefix. A companion can never be another
 * user's key, because it holds a NUL and user ids cannot. It shares its value's hash slot, except
 * for an id such as `a}b`, for which there is no way.
 */
export class KeyLayout {
  constructor(private readonly prefix: string) {}

  of(userId: string): [value: string, version: string] {
    return [this.ofValue(userId), this.ofVersion(userId)];
  }

  ofValue(userId: string): string {
    return this.prefix + userId;
  }

  /** There are two endings, as otherwise the users `a` and `{a}` would share one companion. */
  ofVersion(userId: string): string {
    const key = this.prefix + userId;
    return key.includes("}") ? `${key}\0t` : `${this.prefix}{${key}}\0v`;
  }

  /** Fills are compared with it. No user has it, as it holds a NUL. */
  get ofFence(): string {
    return `${this.prefix}\0f`;
  }

  /** Returns the user whose value or version is at `key`. */
  userOf(key: string): string {
    const { length } = this.prefix;
    if (key.endsWith("\0t")) return key.slice(length, -2);
    if (key.endsWith("}\0v")) return key.slice(2 * length + 1, -3);
    return key.slice(length);
  }
}

const CHECKSUM_LENGTH = 8;
/** So much comes before the run: two numbers. */
export const RUN_AT = 16 + 16;
/** So much comes before the last number. */
export const SEQ_AT = RUN_AT + INSTANCE_ID_LENGTH;
export const VERSION_LENGTH = SEQ_AT + 16;
const SUFFIX_AT = VERSION_LENGTH + CHECKSUM_LENGTH;

const PATTERN = new RegExp(
  `^([0-9]{16})([0-9]{16})([0-9a-z]{${INSTANCE_ID_LENGTH}}|-+)([0-9]{16})([0-9a-f]{8})[01]`,
);

/** A readable text begins with this, for the script: version, checksum, flag. */
export const LUA_PATTERN = `^${"%d".repeat(32)}${"[0-9a-z-]".repeat(INSTANCE_ID_LENGTH)}${
  "%d".repeat(16)
}${"%x".repeat(CHECKSUM_LENGTH)}[01]`;

/**
 * Text of one length, whose bytes sort as versions do: `-`, for no instance, is below digits and
 * letters. After it the checksum of the value, which takes no part in the order: who sets the value
 * alone, as the original does, is found out by it. A number that does not fit (a negative `ts`,
 * say, in a row that others inserted) gives text that no `get` accepts: that user is not cached. In
 * Redis follow `1` for complete or `0`, and the epoch.
 */
export function encodeVersion(
  { ts, acceptedMs, run, seq, value }: Omit<Entry, "userId">,
): string {
  return digits(ts) + digits(acceptedMs) + run.padEnd(INSTANCE_ID_LENGTH, "-") + digits(seq) +
    checksum(value);
}

/** Reads the text; returns undefined unless it is readable, of this epoch, and about this value. */
export function decode(
  userId: string,
  value: string,
  text: string,
  epoch: string,
): CachedEntry | undefined {
  const match = PATTERN.exec(text);
  if (!match || text.slice(SUFFIX_AT + 1) !== epoch) return undefined;
  const [, ts, acceptedMs, run, seq, written] = match;
  if (written !== checksum(value)) return undefined;
  const entry: Entry = {
    userId,
    value,
    ts: Number(ts),
    acceptedMs: Number(acceptedMs),
    run: run!.startsWith("-") ? "" : run!,
    seq: Number(seq),
  };
  return { entry, complete: text[SUFFIX_AT] === "1", source: "redis" };
}

function digits(value: number): string {
  return String(value).padStart(16, "0");
}

function checksum(value: string): string {
  return (crc32c.str(value) >>> 0).toString(16).padStart(CHECKSUM_LENGTH, "0");
}
