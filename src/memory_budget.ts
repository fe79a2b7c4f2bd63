/**
 * This table says how much memory each part may hold, so that the whole stays within what is
 * promised. A value can be in many parts at once, and each of them counts it: then no meeting of
 * full parts is a surprise. `docs/limits.md` shows the table.
 */

export interface Share {
  /** The part holds at most so many bytes. */
  readonly bytes: number;
  /**
   * So many bytes are resident for each byte that is held: 1 for what lies outside the JavaScript
   * heap. In it there may be as much garbage as is alive, for which the tasks of `deno.json` set
   * `--heap-growing-percent=100`; V8's own choice was four times as much (seen with --trace-gc).
   */
  readonly residentPerByte: number;
  /** It says what is held, and why it is so much. */
  readonly reason: string;
}

const MiB = 1024 * 1024;

/** The process has at most so many bytes resident, whatever clients write and read. */
export const PROMISED_RESIDENT_BYTES = 512_000_000;

export const MEMORY_BUDGET = {
  program: {
    bytes: 120 * MiB,
    residentPerByte: 1,
    reason: "Deno, the drivers and the code, before the first request (119 to 127 MB measured)",
  },
  allocator: {
    bytes: 96 * MiB,
    residentPerByte: 1,
    reason: "freed, and not given back to the system yet (measured under load)",
  },
  pendingValues: {
    bytes: 16 * MiB,
    residentPerByte: 1,
    reason: "values that the store may not have yet; the others are read from the journal",
  },
  lastAnswers: {
    bytes: 8 * MiB,
    residentPerByte: 1,
    reason: "what reads found last, for when no tier answers, and so that answers do not go back",
  },
  absences: {
    bytes: 2 * MiB,
    residentPerByte: 2,
    reason: "4,000 users and more that are not there, known for half a second each",
  },
  localCopies: {
    bytes: 48 * MiB,
    residentPerByte: 1,
    reason: "CACHE_LOCAL_MAX (100,000) hot entries of 100 characters in this process",
  },
  cacheUpdates: {
    bytes: 4 * MiB,
    residentPerByte: 2,
    reason: "durable entries on their way to the cache; the others are left to their flush",
  },
  cacheFills: {
    bytes: 4 * MiB,
    residentPerByte: 2,
    reason: "what look-ups found, on its way to the cache; the others are looked up again",
  },
  redisCommands: {
    bytes: 2 * MiB,
    residentPerByte: 4,
    reason: "two round trips of updates, as text and as the driver sends them",
  },
  journalGroups: {
    bytes: 16 * MiB,
    residentPerByte: 2,
    reason: "records that wait for the disk, in buffers that double as they fill",
  },
  batch: {
    bytes: 2 * MiB,
    residentPerByte: 6,
    reason: "rows of one statement, and of the next: read, as text, in the driver's buffers",
  },
  bodies: {
    bytes: 32 * MiB,
    residentPerByte: 4,
    reason: "request bodies over 64 KiB under way: 32 of MAX_BODY_BYTES, their text and values",
  },
} as const satisfies Readonly<Record<string, Share>>;
