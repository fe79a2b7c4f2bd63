/**
 * Keeps the file `cache` in DATA_DIR: whether copies in the cache can be older than what was
 * acknowledged, as the last run knew when it ended, and whose copies they are. Only a run that
 * ended in order says so; before the first write of a run the file says no again.
 */
import type { JournalFileSystem } from "../disk/file_system.ts";
import { readSmallFile, replaceFile } from "../disk/small_file.ts";
import type { Identity } from "../ports/store_identity.ts";

/** A run says this of the cache when it ends. */
export interface CacheWord {
  /** It is true when no copy is older than what was acknowledged. */
  readonly current: boolean;
  /**
   * It names the store whose copies were made, and the generation, for a start while the store
   * cannot be asked; it is undefined when the store never told.
   */
  readonly identity: Identity | undefined;
}

export const CACHE_NOTE_FILE = "cache";

const UNKNOWN: CacheWord = { current: false, identity: undefined };
/** Whoever never wrote anything has no copies that could be too old. */
const FRESH: CacheWord = { current: true, identity: undefined };

/**
 * Reads what the last run said, and makes it say "not current" durably. It may be called only while
 * this process has the lock of the directory's journal.
 * @param isFresh the journal of `dataDir` has never held an entry. A directory that is not, and has
 *   no note or a damaged one, is not current.
 * @throws whatever the disk says
 */
export async function openCacheNote(
  fs: JournalFileSystem,
  dataDir: string,
  isFresh: boolean,
): Promise<CacheNote> {
  const text = await readSmallFile(fs, dataDir, CACHE_NOTE_FILE);
  const found = text === undefined && isFresh ? FRESH : parse(text);
  const note = new CacheNote(fs, dataDir, found);
  const word = { ...found, current: false };
  if (text !== serialize(word)) await note.close(word);
  return note;
}

/**
 * Makes the note of a directory that belongs to another store from here on say nothing. It may be
 * called only while this process has the lock of the directory's journal.
 */
export async function discardCacheNote(fs: JournalFileSystem, dataDir: string): Promise<void> {
  await replaceFile(fs, dataDir, CACHE_NOTE_FILE, serialize(UNKNOWN));
}

/** It is made by {@link openCacheNote} alone, which has read what the last run said. */
export class CacheNote {
  constructor(
    private readonly fs: JournalFileSystem,
    private readonly dataDir: string,
    /** The last run said this. */
    readonly found: CacheWord,
  ) {}

  /**
   * Writes the note at an orderly end, once nothing is brought to the cache any more.
   * @throws whatever the disk says
   */
  async close(word: CacheWord): Promise<void> {
    await replaceFile(this.fs, this.dataDir, CACHE_NOTE_FILE, serialize(word));
  }
}

function parse(text: string | undefined): CacheWord {
  if (text === undefined) return UNKNOWN;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return UNKNOWN; // Parsing throws nothing but a SyntaxError.
  }
  const { current, store, generation } = (content ?? {}) as Record<string, unknown>;
  const identity = typeof store === "string" && typeof generation === "string"
    ? { id: store, cacheGeneration: generation }
    : undefined;
  return { current: current === true, identity };
}

function serialize({ current, identity }: CacheWord): string {
  const { id: store = null, cacheGeneration: generation = null } = identity ?? {};
  return `${JSON.stringify({ current, store, generation })}\n`;
}
