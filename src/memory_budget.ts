/**
 * How much memory each part may hold, so that the whole stays within what is promised. A value can
 * be in many parts at once, and each of them counts it: then no meeting of full parts is a
 * surprise. `docs/limits.md` shows this table.
 */
import type { Entry } from "./domain.ts";

export interface Share {
  /** At most so many bytes are held, as {@link bytesOf} counts them. */
  readonly bytes: number;
  /** How often they are in memory at the same time: as text, as its bytes, as what a driver sends. */
  readonly copies: number;
  /** What it is, and why it is so much. */
  readonly reason: string;
}

const KiB = 1024;
const MiB = 1024 * KiB;

/** What the process may have resident at most, whatever clients write and read. */
export const PROMISED_RESIDENT_BYTES = 512_000_000;

export const MEMORY_BUDGET = {
  program: {
    bytes: 128 * MiB,
    copies: 1,
    reason: "Deno, the drivers and the code, resident before the first request",
  },
  pendingValues: {
    bytes: 32 * MiB,
    copies: 1,
    reason: "values that the store may not have yet; what does not fit is read from the journal",
  },
  lastAnswers: {
    bytes: 16 * MiB,
    copies: 1,
    reason: "what reads found last, for when no tier answers",
  },
  absences: {
    bytes: 2 * MiB,
    copies: 1,
    reason: "users that are not there: 4,000 and more, good for a second each",
  },
  localCopies: {
    bytes: 64 * MiB,
    copies: 1,
    reason: "copies of hot entries in this process: CACHE_LOCAL_MAX (100,000) of 200 characters",
  },
  cacheUpdates: {
    bytes: 8 * MiB,
    copies: 1,
    reason: "durable entries that wait for the cache; what does not fit is left to their flush",
  },
  redisCommands: {
    bytes: 4 * MiB,
    copies: 2,
    reason: "one round trip of updates: as text, and as what the driver has not written yet",
  },
  journalGroups: {
    bytes: 32 * MiB,
    copies: 1,
    reason: "records that wait for the disk, encoded: four groups of the largest size",
  },
  batch: {
    bytes: 8 * MiB,
    copies: 2,
    reason: "entries taken from the journal on their way to the store, and the bytes read",
  },
  statement: {
    bytes: 2 * MiB,
    copies: 4,
    reason: "rows of one statement: as text, as arrays, encoded, and in the driver's buffer",
  },
  bodies: {
    bytes: 32 * MiB,
    copies: 2,
    reason:
      "request bodies under way that are over 64 KiB each: 32 of MAX_BODY_BYTES, and their text",
  },
} as const satisfies Readonly<Record<string, Share>>;

/**
 * What an entry, or anything else that is kept by itself, costs besides its text: its objects, its
 * place in a map. Deliberately on the high side: 180 bytes were measured in an LRU cache.
 */
export const RECORD_OVERHEAD_BYTES = 256;

/** What an entry takes in memory at most: text that is all Latin-1 takes half of it. */
export function bytesOf({ userId, value }: Pick<Entry, "userId" | "value">): number {
  return RECORD_OVERHEAD_BYTES + 2 * (userId.length + value.length);
}
