/**
 * Is the cache as both halves share it: a fault is a miss, never a failed request, and a user whose
 * update failed is not read from the cache until it has been put right or the stale copy has
 * expired. After a start that does not know what the last run failed to update, that holds for
 * every user.
 */
import { type Entry, newestOfEach, type ValuelessEntry } from "../domain.ts";
import { CacheStaleError, rootCauseOf } from "../errors.ts";
import { DeadlineError } from "../deadline.ts";
import { MEMORY_BUDGET } from "../memory_budget.ts";
import { bytesOf } from "../packed.ts";
import type { Cache, CachedEntry, FillToken } from "../ports/cache.ts";
import type { Clock } from "../ports/clock.ts";
import { type CacheSharing, UNSHARED } from "./cache_sharing.ts";
import { type Doubt, Doubts } from "./doubts.ts";

/** Each is a call of its own, and all calls under way have one deadline. */
const FORGOTTEN_AT_ONCE = 100;

/** A connection that was lost is there again after so long, where its server is. */
const AGAIN_MS = 80;

/**
 * What a look-up found longer ago is not filled in: whoever was stopped meanwhile, and goes on, may
 * have found what is older than anything that still keeps it out.
 */
const FILL_WITHIN_MS = 5_000;

/** It says when a look-up in the store began, in the words of those who share the cache. */
export interface LookUp {
  /** Copies were made of this generation then. */
  readonly generation: string | undefined;
  readonly token: FillToken | undefined;
  /** By the monotonic clock. */
  readonly begunMs: number;
}

/**
 * The store may have what is newer than a copy that is doubted. The copy counts all the same: it may
 * be what another instance has just accepted, and the store lacks.
 */
export interface Copy extends CachedEntry {
  readonly isDoubted?: boolean;
}

interface CacheClientParts {
  readonly cache: Cache;
  /** The cache keeps a copy for so long. */
  readonly ttlMs: number;
  readonly clock: Clock;
  /** It is told of each call that failed. */
  readonly onFault: (error: unknown) => void;
  /** It is left out where nobody else has the cache. */
  readonly sharing?: CacheSharing;
  /**
   * It is told of each user whose copy is dropped, before it is, for what else remembers the user.
   */
  readonly onForget?: (userId: string) => void;
}

export class CacheClient {
  readonly #doubts: Doubts;
  readonly #cache: Cache;
  readonly #sharing: CacheSharing;
  #fillBytes = 0;
  /** It is of the last flush's work, or of its second try. */
  #succeeded = true;
  #lastFault: unknown;
  /** Since then no copy could be asked for, by the monotonic clock. */
  #failingSinceMs: number | undefined;

  constructor(private readonly parts: CacheClientParts) {
    this.#cache = parts.cache;
    this.#sharing = parts.sharing ?? UNSHARED;
    this.#doubts = new Doubts(parts);
  }

  /** It is true when other instances have the cache, too. */
  get isShared(): boolean {
    return this.#sharing !== UNSHARED;
  }

  /** Answers at once what is in memory. It never rejects. */
  get(userId: string): Copy | undefined | Promise<Copy | undefined> {
    const doubt = this.#doubts.of(userId);
    if (doubt === "refused") return undefined;
    const found = this.#cache.get(userId);
    if (!(found instanceof Promise)) return this.#judged(found, doubt);
    return found.then((found) => {
      this.#failingSinceMs = undefined;
      return this.#judged(found, doubt);
    }, (error) => this.#getAgain(userId, error));
  }

  #judged(found: CachedEntry | undefined, doubt: Doubt | undefined): Copy | undefined {
    if (found === undefined) return undefined;
    const judged = doubt === undefined ? found : { ...found, complete: false, isDoubted: true };
    return this.#sharing.isSure ? judged : { ...judged, source: "stale" };
  }

  /**
   * Asks once more where the calls before had been answered: the store, which is asked otherwise,
   * may lack what another instance has just accepted.
   */
  async #getAgain(userId: string, error: unknown): Promise<Copy | undefined> {
    this.parts.onFault(error);
    const nowMs = this.parts.clock.monotonicMs();
    this.#failingSinceMs ??= nowMs;
    if (nowMs - this.#failingSinceMs >= AGAIN_MS) return undefined;
    if (!this.isShared || !mayPassAtOnce(error)) return undefined;
    await this.#pause();
    // It may be suspected by now.
    const doubt = this.#doubts.of(userId);
    if (doubt === "refused") return undefined;
    try {
      const found = await this.#cache.get(userId);
      this.#failingSinceMs = undefined;
      return this.#judged(found, doubt);
    } catch (error) {
      this.parts.onFault(error);
      return undefined;
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.parts.clock.setTimeout(resolve, AGAIN_MS));
  }

  /**
   * Offers entries that became durable, in one call. It never rejects: of whom the cache did not
   * take it the copy is not read until it has been put right.
   * @returns false where that is so
   */
  offer(entries: readonly Entry[]): Promise<boolean> {
    return this.#succeeds(this.#cache.update(entries), entries);
  }

  /**
   * Brings the entries of a flush to the cache: when this is done, nobody reads older copies of
   * these users, here or in another instance that shares the cache.
   * @throws when the cache fails, and the others cannot be told of it either
   */
  async update(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#underPresentGeneration(() =>
      this.#succeeds(this.#cache.update(entries, true), entries)
    );
  }

  /**
   * Drops the copies of entries that the store refused and the cache may hold.
   * @throws as {@link update}
   */
  async forget(entries: readonly ValuelessEntry[]): Promise<void> {
    const users = newestOfEach(entries);
    if (users.length === 0) return;
    await this.#underPresentGeneration(async () => {
      let areForgotten = true;
      for (let from = 0; from < users.length; from += FORGOTTEN_AT_ONCE) {
        const some = users.slice(from, from + FORGOTTEN_AT_ONCE);
        const done = await Promise.all(some.map((entry) => this.#forget(entry)));
        areForgotten &&= !done.includes(false);
      }
      return areForgotten;
    });
  }

  /**
   * Does its work again when another generation turns out to have begun meanwhile: under the former
   * one it is nobody's. Whoever fills in under one that begins later has looked into the store
   * after this flush.
   */
  async #underPresentGeneration(work: () => Promise<boolean>): Promise<void> {
    for (;;) {
      const { text } = this.#sharing;
      const [isDone] = await Promise.all([this.#succeedsAgain(work), this.#sharing.refresh()]);
      if (!isDone) return await this.#sharing.outdate();
      if (this.#sharing.text === text) return;
    }
  }

  /**
   * Tries once more what failed after the last one had succeeded: a lost connection is there again
   * in a moment, and outdating the copies of all costs everybody a look-up each.
   */
  async #succeedsAgain(work: () => Promise<boolean>): Promise<boolean> {
    const hadSucceeded = this.#succeeded;
    this.#succeeded = await work();
    if (this.#succeeded || !hadSucceeded || !mayPassAtOnce(this.#lastFault)) return this.#succeeded;
    await this.#pause();
    return this.#succeeded = await work();
  }

  /**
   * Outdates all copies after the store went back, and its generation of copies with it: those that
   * had been outdated since would count again.
   * @throws as {@link update}
   */
  async outdateAll(): Promise<void> {
    await this.#sharing.outdate();
  }

  async #forget(entry: ValuelessEntry): Promise<boolean> {
    const { userId } = entry;
    this.parts.onForget?.(userId);
    try {
      await this.#cache.forget(userId, entry);
      return true;
    } catch (error) {
      this.parts.onFault(error);
      this.#lastFault = error;
      this.#doubts.suspect([{ userId }], "refused");
      return false;
    }
  }

  /**
   * Has to be asked before a look-up in the store, and {@link fill} is given its answer with what
   * that found. It never rejects.
   */
  async beginLookUp(): Promise<LookUp> {
    const begun = { generation: this.#sharing.text, begunMs: this.parts.clock.monotonicMs() };
    try {
      return { ...begun, token: await this.#cache.token() };
    } catch (error) {
      this.parts.onFault(error);
      return { ...begun, token: undefined };
    }
  }

  /**
   * Keeps what a read found in the store, where `entry` is the newest; few readers have to wait for
   * that. What was found in an earlier generation is left out, as it may be just what that one was
   * ended for, and so is what finds no room: the next reader looks it up again.
   * @returns false where it is not kept, so that an older copy may still be there; never rejects
   */
  async fill(entry: Entry, { generation, token, begunMs }: LookUp): Promise<boolean> {
    if (token === undefined || generation !== this.#sharing.text) return false;
    if (this.parts.clock.monotonicMs() - begunMs > FILL_WITHIN_MS) return false;
    const bytes = bytesOf(entry);
    if (this.#fillBytes + bytes > MEMORY_BUDGET.cacheFills.bytes) return false;
    this.#fillBytes += bytes;
    const { userId } = entry;
    const before = this.#doubts.stand(userId);
    const filling = Promise.try(() => this.#cache.fill([entry], token));
    const done = await this.#succeeds(filling, [entry]);
    this.#fillBytes -= bytes;
    if (done) this.#doubts.putRight(userId, before);
    return done;
  }

  /** Believes no copy of this user until a fill has put it right: a newer one was given out. */
  doubt(userId: string): void {
    this.#doubts.suspect([{ userId }], "outdated");
  }

  /**
   * Believes no copy that this run did not fill, as what the cache holds may be older than
   * acknowledged writes of an earlier run.
   */
  distrustAll(): void {
    this.#doubts.suspectAll();
  }

  /** It is true when no copy is known, or feared, to be older than an acknowledged write. */
  get current(): boolean {
    return !this.#doubts.areThere;
  }

  close(): Promise<void> {
    return this.#cache.close();
  }

  /** Returns what the call does, or true where that is nothing; false after a fault. */
  async #succeeds(call: Promise<boolean | void>, entries: readonly Entry[]): Promise<boolean> {
    try {
      return await call ?? true;
    } catch (error) {
      this.parts.onFault(error);
      this.#lastFault = error;
      // It may still arrive, after something newer was there and was lost again.
      this.#doubts.suspect(
        error instanceof CacheStaleError ? error.userIds.map((userId) => ({ userId })) : entries,
        "outdated",
      );
      return false;
    }
  }
}

/**
 * A lost connection is made again at once. Who was silent until the deadline would be asked over the
 * same connection, and as long again.
 */
function mayPassAtOnce(error: unknown): boolean {
  return !(rootCauseOf(error) instanceof DeadlineError);
}
