/**
 * Keeps the file `store` in DATA_DIR, which says which store the writes that wait there are for.
 * Without it a start with other settings would move them, silently and for good, into a store where
 * nobody looks for them.
 */
import { join } from "node:path";
import { denoFileSystem, type JournalFileSystem } from "../disk/file_system.ts";
import { readSmallFile, replaceFile } from "../disk/small_file.ts";

export type StoreKind = "postgres" | "sqlite";

/** The file holds this, as JSON. */
interface BoundStore {
  readonly kind: StoreKind;
  /**
   * The store gave itself this name when it was made; it is null until the store was reached for
   * the first time.
   */
  readonly identity: string | null;
  /** The store was reached here last, as its settings say; it is null until then. */
  readonly place: string | null;
}

/**
 * The data directory belongs to another store than the one that is configured, or reached. Nothing
 * was moved.
 */
export class WrongStoreError extends Error {
  override readonly name = "WrongStoreError";

  constructor(dataDir: string, readonly bound: BoundStore, readonly found: StoreName) {
    super(
      `The data directory ${dataDir} belongs to the store ${describeStore(bound)}, not to ${
        describeStore(found)
      }.`,
    );
  }
}

export const STORE_FILE = "store";

type StoreName = Pick<BoundStore, "kind" | "identity" | "place">;

/** Names a store as people know it. */
export function describeStore({ kind, identity, place }: StoreName): string {
  const where = place === null ? "" : ` (${place})`;
  return `${kind}${where}${identity === null ? "" : ` with the identity ${identity}`}`;
}

/**
 * Reads what `dataDir` is bound to; undefined when it is bound to nothing yet. Changes nothing.
 * @throws WrongStoreError when that is another kind; an Error that says what to do when the file is
 *   damaged
 */
export async function checkStoreBinding(
  dataDir: string,
  kind: StoreKind,
  fs: JournalFileSystem = denoFileSystem,
): Promise<BoundStore | undefined> {
  const bound = await readBinding(fs, dataDir);
  if (bound !== undefined && bound.kind !== kind) {
    throw new WrongStoreError(dataDir, bound, { kind, identity: null, place: null });
  }
  return bound;
}

/**
 * Does as {@link checkStoreBinding}, and binds a directory that is not bound yet. May be called
 * only while this process has the lock of the directory's journal.
 */
export async function openStoreBinding(
  dataDir: string,
  kind: StoreKind,
  fs: JournalFileSystem = denoFileSystem,
): Promise<StoreBinding> {
  let bound = await checkStoreBinding(dataDir, kind, fs);
  if (bound === undefined) await writeBinding(fs, dataDir, bound = unreached(kind));
  return new StoreBinding(dataDir, bound, fs);
}

/**
 * Binds the directory to a store of this kind, whose identity is learned at the next start. Returns
 * what it was bound to: undefined for nothing, `damaged` when nobody can tell. May be called only
 * while this process has the lock of the directory's journal.
 */
export async function changeStore(
  dataDir: string,
  kind: StoreKind,
  fs: JournalFileSystem = denoFileSystem,
): Promise<BoundStore | "damaged" | undefined> {
  const before = parse(await readSmallFile(fs, dataDir, STORE_FILE));
  await writeBinding(fs, dataDir, unreached(kind));
  return before;
}

function unreached(kind: StoreKind): BoundStore {
  return { kind, identity: null, place: null };
}

/** Is made by {@link openStoreBinding} alone, which has read what it is bound to. */
export class StoreBinding {
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly dataDir: string,
    private bound: BoundStore,
    private readonly fs: JournalFileSystem = denoFileSystem,
  ) {}

  /** The store gave itself this name; it is undefined before the store was reached once. */
  get identity(): string | undefined {
    return this.bound.identity ?? undefined;
  }

  /** Returns whether the store was last reached where it is configured now. */
  isAt(place: string): boolean {
    return this.bound.place === place;
  }

  /**
   * Judges a store that was reached, before anything is written into it. The one that this
   * directory belongs to may have moved; and where that was, a new one may have been made. But
   * another one in another place is not meant.
   * @param identity undefined when it has none yet.
   * @throws WrongStoreError
   */
  admit(identity: string | undefined, place: string): void {
    const { kind } = this.bound;
    if (this.bound.identity === null || this.bound.identity === identity || this.isAt(place)) {
      return;
    }
    throw new WrongStoreError(this.dataDir, this.bound, {
      kind,
      identity: identity ?? null,
      place,
    });
  }

  /**
   * Binds the directory to a store that was admitted and is ready. Resolves to true when it is
   * another one than before.
   * @throws WrongStoreError as {@link admit}; what the disk says
   */
  confirm(identity: string, place: string): Promise<boolean> {
    return this.#inTurn(async () => {
      this.admit(identity, place);
      const { bound } = this;
      if (bound.identity === identity && bound.place === place) return false;
      await this.#replace({ ...bound, identity, place });
      return bound.identity !== null && bound.identity !== identity;
    });
  }

  /**
   * Replaces the file, but not in a directory that was exchanged for another one: what is bound
   * there is not ours to change.
   */
  async #replace(next: BoundStore): Promise<void> {
    const present = await readBinding(this.fs, this.dataDir);
    if (present === undefined || serialize(present) !== serialize(this.bound)) {
      throw new Error(
        `${join(this.dataDir, STORE_FILE)} is not what this process left there; it is not changed`,
      );
    }
    await writeBinding(this.fs, this.dataDir, next);
    this.bound = next;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

async function readBinding(
  fs: JournalFileSystem,
  dataDir: string,
): Promise<BoundStore | undefined> {
  const bound = parse(await readSmallFile(fs, dataDir, STORE_FILE));
  if (bound !== "damaged") return bound;
  throw new Error(
    `${join(dataDir, STORE_FILE)}, which says to which store this directory belongs, is ` +
      "damaged. Restore it; or, if you are sure that it belongs to the store that is " +
      "configured, run dsproxy --change-store once.",
  );
}

function parse(text: string | undefined): BoundStore | "damaged" | undefined {
  if (text === undefined) return undefined;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return "damaged"; // Parsing throws nothing but a SyntaxError.
  }
  const { kind, identity, place } = (content ?? {}) as Partial<Record<keyof BoundStore, unknown>>;
  if (kind !== "postgres" && kind !== "sqlite") return "damaged";
  if (!isNameOrNull(identity) || !isNameOrNull(place)) return "damaged";
  return { kind, identity, place };
}

function isNameOrNull(value: unknown): value is string | null {
  return value === null || (typeof value === "string" && value !== "");
}

function writeBinding(fs: JournalFileSystem, dataDir: string, bound: BoundStore): Promise<void> {
  return replaceFile(fs, dataDir, STORE_FILE, serialize(bound));
}

/** Earlier programs call a file damaged that has no cache generation: it has an empty one. */
function serialize({ kind, identity, place }: BoundStore): string {
  return `${JSON.stringify({ kind, identity, place, cacheGeneration: "" })}\n`;
}
