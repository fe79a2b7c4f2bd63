/**
 * A database in memory, as exact as the real ones about marks, rows, refusals and dead letters.
 * Each method is one transaction that happens at once. What fails, hangs or takes time is the
 * business of whoever puts it behind a port.
 */
import { compareVersions, type Entry, writeId } from "../../src/domain.ts";
import { RejectedRowError, StoreRefusesError, StoreWentBackError } from "../../src/errors.ts";
import type { Swept } from "../../src/ports/dead_letter_sweeps.ts";
import {
  type DeadLetter,
  type LetterFilter,
  type LetterSurvey,
  type Reason,
  REASONS_MAX,
  type RefusedEntry,
  type Rejection,
} from "../../src/ports/dead_letters.ts";
import type { PutResult } from "../../src/ports/store.ts";
import type { Identity } from "../../src/ports/store_identity.ts";

/** What a backup has of a {@link MemoryStore}. */
export interface Snapshot {
  readonly rows: readonly Entry[];
  readonly marks: ReadonlyMap<string, number>;
  readonly dead: readonly DeadLetter[];
  readonly cacheGeneration: number;
}

interface MemoryStoreOptions {
  /** Unix milliseconds; default the machine's. */
  readonly now?: () => number;
  /** Told of each row at the moment of its commit. */
  readonly onRow?: (entry: Entry, table: "user_data" | "dead_letters") => void;
}

export class MemoryStore {
  rows: Entry[] = [];
  dead: DeadLetter[] = [];
  readonly markOf = new Map<string, number>();
  /** Why the table takes no row at all; undefined while it does. */
  refusesAll: Rejection | undefined;
  /** What a constraint has against a row; undefined when it may go in. */
  refuses: (entry: Entry) => Rejection | undefined = () => undefined;
  #generation = 0;
  /** As the real ones draw a random word, none comes twice. */
  #lastGeneration = 0;
  /** As the index of the real ones: a look-up does not read all rows. */
  readonly #latest = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #onRow: NonNullable<MemoryStoreOptions["onRow"]>;

  constructor({ now = Date.now, onRow = () => {} }: MemoryStoreOptions = {}) {
    this.#now = now;
    this.#onRow = onRow;
  }

  get identity(): Identity {
    return {
      id: "00000000-0000-4000-8000-000000000000",
      cacheGeneration: String(this.#generation),
    };
  }

  outdateCopies(): Identity {
    this.#generation = ++this.#lastGeneration;
    return this.identity;
  }

  open(source: string): number {
    this.moveMark(source, 0);
    return this.markOf.get(source)!;
  }

  marks(sources: readonly string[]): ReadonlyMap<string, number> {
    return new Map([...this.markOf].filter(([source]) => sources.includes(source)));
  }

  /** Never lowers it. */
  moveMark(source: string, seq: number): void {
    this.markOf.set(source, Math.max(seq, this.markOf.get(source) ?? 0));
  }

  put(source: string, entries: readonly Entry[], confirmedSeq: number): PutResult {
    const mark = this.markOf.get(source);
    if (mark === undefined || mark < confirmedSeq) {
      throw new StoreWentBackError(`The mark of ${source} is ${mark}, below ${confirmedSeq}`);
    }
    const rows = this.insertWhatGoesIn(source, entries.filter(({ seq }) => seq > mark));
    this.moveMark(source, entries.at(-1)!.seq);
    return { rows, dead: this.deadAmong(source, entries[0]!.seq, entries.at(-1)!.seq) };
  }

  /**
   * Inserts these as rows, or buries them; returns how many are rows now.
   * @throws StoreRefusesError when the table takes no row at all
   */
  insertWhatGoesIn(source: string, entries: readonly Entry[]): number {
    if (this.refusesAll !== undefined && entries.length > 0) {
      throw new StoreRefusesError(this.refusesAll.code, this.refusesAll.message);
    }
    let rows = 0;
    for (const entry of entries) {
      const rejection = this.refuses(entry);
      if (rejection === undefined) {
        this.insert(entry);
        rows++;
      } else this.#bury(source, entry, rejection);
    }
    return rows;
  }

  deadAmong(source: string, first: number, last: number): RefusedEntry[] {
    return this.dead
      .filter((letter) => letter.source === source && letter.seq >= first && letter.seq <= last)
      .map(({ seq, code, message }) => ({ seq, code, message }));
  }

  /** Also what another program does: then without a mark. */
  insert(entry: Entry): void {
    this.rows.push(entry);
    this.#index(entry);
    this.#onRow(entry, "user_data");
  }

  latest(userId: string): Entry | undefined {
    return this.#latest.get(userId);
  }

  count(): number {
    return this.dead.length;
  }

  survey(filter: LetterFilter, reasonsMax: number): LetterSurvey {
    const found = this.list(Infinity, undefined, filter);
    const counts = new Map<string, number>();
    for (const { code } of found) counts.set(code, 1 + (counts.get(code) ?? 0));
    const reasons = [...counts].map(([code, count]) => ({ code, count }))
      .sort((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1));
    return {
      count: found.length,
      reasons: reasons.slice(0, reasonsMax),
      untilMs: this.#now() + 1,
    };
  }

  reasons(): Reason[] {
    return [...Map.groupBy(this.dead, ({ code }) => code)]
      .map(([code, { length }]) => ({ code, count: length }))
      .sort((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1))
      .slice(0, REASONS_MAX);
  }

  list(
    limit: number,
    after?: Pick<DeadLetter, "source" | "seq">,
    filter: LetterFilter = {},
  ): DeadLetter[] {
    return this.dead.toSorted(byPlace)
      .filter((letter) => isMeant(letter, filter))
      .filter((letter) => after === undefined || byPlace(letter, after) > 0)
      .slice(0, limit);
  }

  sweep(
    action: "replay" | "discard",
    filter: LetterFilter,
    limit: number,
    from?: Pick<DeadLetter, "source" | "seq">,
  ): Swept {
    const letters = this.list(limit, from, filter);
    const done = letters.filter((letter) => {
      try {
        this[action](writeId(letter));
        return true;
      } catch (error) {
        if (!(error instanceof RejectedRowError)) throw error;
        return false;
      }
    });
    const last = letters.length === limit ? letters.at(-1) : undefined;
    return {
      done: done.map(({ userId, ts, acceptedMs, run, seq }) => ({
        userId,
        ts,
        acceptedMs,
        run,
        seq,
      })),
      refused: letters.length - done.length,
      ...(last !== undefined && { next: { source: last.source, seq: last.seq } }),
    };
  }

  find(id: string): DeadLetter | undefined {
    return this.dead.find((letter) => writeId(letter) === id);
  }

  discard(id: string): boolean {
    const before = this.dead.length;
    this.dead = this.dead.filter((letter) => writeId(letter) !== id);
    return this.dead.length < before;
  }

  replay(id: string): Entry | undefined {
    const letter = this.find(id);
    if (letter === undefined) return undefined;
    const { userId, value, ts, acceptedMs, run, seq } = letter;
    const entry = { userId, value, ts, acceptedMs, run, seq };
    const rejection = this.refusesAll ?? this.refuses(entry);
    if (rejection !== undefined) {
      const again = { ...letter, ...rejection, attempts: letter.attempts + 1 };
      this.dead = this.dead.map((other) => other === letter ? again : other);
      throw new RejectedRowError(rejection.code, rejection.message);
    }
    this.discard(id);
    this.insert(entry);
    return entry;
  }

  snapshot(): Snapshot {
    return {
      rows: [...this.rows],
      marks: new Map(this.markOf),
      dead: [...this.dead],
      cacheGeneration: this.#generation,
    };
  }

  /**
   * What a restored backup, or a replica that was behind and took over, does: everything is as it
   * was then, the cache generation included.
   * @param onVanished told of each row that was there and is not any more
   */
  restore(
    { rows, marks, dead, cacheGeneration }: Snapshot,
    onVanished: (entry: Entry, table: "user_data" | "dead_letters") => void,
  ): void {
    const [keptRows, keptDead] = [new Set(rows), new Set(dead.map(writeId))];
    const vanishedRows = this.rows.filter((entry) => !keptRows.has(entry));
    const vanishedDead = this.dead.filter((letter) => !keptDead.has(writeId(letter)));
    this.rows = [...rows];
    this.dead = [...dead];
    this.#generation = cacheGeneration;
    this.markOf.clear();
    for (const [source, seq] of marks) this.markOf.set(source, seq);
    this.#latest.clear();
    for (const entry of rows) this.#index(entry);
    for (const entry of vanishedRows) onVanished(entry, "user_data");
    for (const letter of vanishedDead) onVanished(letter, "dead_letters");
  }

  #index(entry: Entry): void {
    const latest = this.#latest.get(entry.userId);
    if (latest === undefined || compareVersions(entry, latest) > 0) {
      this.#latest.set(entry.userId, entry);
    }
  }

  #bury(source: string, entry: Entry, { code, message }: Rejection): void {
    this.dead.push({ ...entry, source, code, message, failedAtMs: this.#now(), attempts: 1 });
    this.#onRow(entry, "dead_letters");
  }
}

function isMeant(letter: DeadLetter, { userId, code, fromMs, untilMs }: LetterFilter): boolean {
  return (userId ?? letter.userId) === letter.userId && (code ?? letter.code) === letter.code &&
    letter.failedAtMs >= (fromMs ?? -Infinity) && letter.failedAtMs < (untilMs ?? Infinity);
}

type Place = Pick<DeadLetter, "source" | "seq">;

function byPlace(a: Place, b: Place): number {
  if (a.source !== b.source) return a.source < b.source ? -1 : 1;
  return a.seq - b.seq;
}
