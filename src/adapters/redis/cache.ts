/**
 * Is the cache in Redis, shared by all instances, with a copy of hot entries in this process that
 * Redis keeps coherent (server-assisted client-side caching).
 *
 * `<prefix><user>` holds the plain value; beside it, with the same lifetime, a companion key holds
 * the version, and an epoch: which run of the server it was written in, and which store it stands
 * for. A value without a readable version of this very epoch is a miss, and the next write replaces
 * it: it may come from a snapshot, a replica that was behind, or another deployment.
 */
import { ErrorReply } from "@redis/client";
import type { Entry, Version } from "../../domain.ts";
import { CacheStaleError, reasonOf } from "../../errors.ts";
import type { Cache, CachedEntry } from "../../ports/cache.ts";
import { systemClock } from "../../ports/clock.ts";
import { CHUNKS_AT_ONCE, chunksOf, newestOfEach } from "./chunks.ts";
import { Connection } from "./connection.ts";
import type { RedisAddress, RedisClient } from "./handshake.ts";
import { decode, encodeVersion, KeyLayout } from "./keys.ts";
import {
  LocalCopies,
  type LocalLimits,
  type Reply,
  type TrackedCache,
  withLocalCopies,
} from "./local_copies.ts";
import type { Peer } from "./peer.ts";
import { evaluate, FORGET, OFFER, type Outcome, type Refusal, refusalsOf } from "./scripts.ts";

export interface RedisCacheOptions extends RedisAddress {
  /** It is put before every user id. */
  readonly prefix: string;
  /**
   * It says which store, and which generation of copies of it, the cache stands for. While it is
   * undefined nobody knows: nothing is cached, and updates are rejected once they dropped what is
   * there.
   */
  readonly namespace: () => string | undefined;
  /** Both keys, and a copy in this process, live for so long. */
  readonly ttlMs: number;
  /**
   * It limits the copies in this process. `maxEntries` 0 turns them off; Redis then need not track
   * what is read.
   */
  readonly local: LocalLimits;
  /** A call waits for an answer for so long; the default is 250. */
  readonly callTimeoutMs?: number;
  /**
   * It is told each time that the connection is lost or cannot be made (it is tried again for
   * ever), or updates were refused.
   */
  readonly onError?: (error: Error) => void;
  /** It is told once of each thing that is missing and can be done without. */
  readonly onNotice?: (message: string) => void;
}

/**
 * Begins to connect, and does not need the server to be up. Calls reject with the reason while
 * there is no connection.
 */
export function createRedisCache(options: RedisCacheOptions): Cache {
  const cache = new RedisCache(options);
  cache.connect();
  return cache.copies === undefined ? cache : withLocalCopies(cache, cache.copies);
}

/** It is far more than Redis takes, and short enough for a reader, who asks the store then. */
const DEFAULT_CALL_TIMEOUT_MS = 250;
const NOBODYS = "Nobody knows yet whose copies Redis has: an older one may come late";

interface Refused extends Omit<Refusal, "index"> {
  readonly userId: string;
}

class RedisCache implements TrackedCache {
  /** It is undefined where copies are turned off. */
  readonly copies: LocalCopies | undefined;
  readonly #keys: KeyLayout;
  readonly #callTimeoutMs: number;
  readonly #connection: Connection;
  #lastEpoch = { namespace: "", server: "", text: "" };

  constructor(private readonly options: RedisCacheOptions) {
    this.#keys = new KeyLayout(options.prefix);
    this.#callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.copies = options.local.maxEntries === 0
      ? undefined
      : new LocalCopies(options.local, options.ttlMs, () => this.#epoch(), systemClock);
    this.#connection = new Connection({
      address: options,
      tracking: this.copies !== undefined,
      callTimeoutMs: this.#callTimeoutMs,
      onInvalidate: (key) =>
        key === null ? this.copies?.clear() : this.copies?.forget(this.#keys.userOf(key)),
      onError: options.onError ?? (() => {}),
      onNotice: options.onNotice ?? (() => {}),
    });
  }

  connect(): void {
    this.#connection.start();
  }

  get tracks(): boolean {
    return this.#connection.tracks;
  }

  async get(userId: string): Promise<CachedEntry | undefined> {
    return (await this.read(userId)).found;
  }

  /**
   * Reads with two commands, as Redis 6 can put its word of an expired key into the middle of a
   * list. What changes between them is found out by the checksum.
   */
  async read(userId: string): Promise<Reply> {
    const keys = this.#keysOf(userId);
    const [value, version] = await this.#connection.call((client) =>
      Promise.all(
        keys.map((key) => client.sendCommand<string | null>(["GET", key]).catch(missIfOtherType)),
      )
    );
    const epoch = this.#epoch();
    const isThere = typeof value === "string" && typeof version === "string" && epoch !== undefined;
    return { found: isThere ? decode(userId, value, version, epoch) : undefined, epoch };
  }

  update(entries: readonly Entry[]): Promise<void> {
    return this.#setMany(entries, false);
  }

  fill(entries: readonly Entry[]): Promise<void> {
    return this.#setMany(entries, true);
  }

  async #setMany(entries: readonly Entry[], complete: boolean): Promise<void> {
    const chunks = chunksOf(newestOfEach(entries));
    const refused: Refused[] = [];
    const unknown: string[] = [];
    let failure: unknown;
    const lane = async () => {
      for (const chunk of chunks) {
        try {
          if (failure === undefined) refused.push(...await this.#offerAll(chunk, complete));
        } catch (error) {
          failure ??= error;
        }
        if (failure !== undefined) unknown.push(...chunk.map(({ userId }) => userId));
      }
    };
    await Promise.all(Array.from({ length: CHUNKS_AT_ONCE }, lane));
    if (failure === undefined) return this.#report(refused);
    throw new CacheStaleError([...unknown, ...stale(refused)], reasonOf(failure), {
      cause: failure,
    });
  }

  /**
   * Offers a chunk in one round trip; where the server does not let the script run for all of them
   * at once, in another one for each, and where it does not let it run at all in a third one.
   */
  async #offerAll(chunk: readonly Entry[], complete: boolean): Promise<Refused[]> {
    return await this.#connection.call(async (client, peer) => {
      if (chunk.length > 1 && peer.takesMany) {
        try {
          return await this.#offer(client, peer, chunk, complete);
        } catch (error) {
          if (!(error instanceof ErrorReply)) throw error;
          if (error.message.startsWith("CROSSSLOT")) peer.takesNoMore();
        }
      }
      const each = chunk.map((entry) => this.#offerOne(client, peer, entry, complete));
      return (await Promise.all(each)).flat();
    });
  }

  async #offerOne(
    client: RedisClient,
    peer: Peer,
    entry: Entry,
    complete: boolean,
  ): Promise<Refused[]> {
    try {
      return await this.#offer(client, peer, [entry], complete);
    } catch (error) {
      if (!(error instanceof ErrorReply)) throw error;
      // The script could not run. Without its companion the copy is a miss, whatever type its key
      // has.
      const { userId } = entry;
      const dropped = await isDone(client.sendCommand(["DEL", this.#keys.ofVersion(userId)]));
      return [{ userId, outcome: dropped ? "dropped" : "stale", reason: error.message }];
    }
  }

  async #offer(
    client: RedisClient,
    peer: Peer,
    entries: readonly Entry[],
    complete: boolean,
  ): Promise<Refused[]> {
    const epoch = this.#epoch();
    if (epoch === undefined) {
      await Promise.all(entries.map(({ userId }) => this.#drop(client, peer, userId)));
      return entries.map(({ userId }) => ({ userId, outcome: "stale", reason: NOBODYS }));
    }
    const notAfterMs = String(peer.nowMs + this.#callTimeoutMs);
    const keys: string[] = [];
    const args = [complete ? "1" : "0", String(this.options.ttlMs), epoch, notAfterMs];
    for (const entry of entries) {
      keys.push(this.#keys.ofValue(entry.userId), this.#keys.ofVersion(entry.userId));
      args.push(entry.value, encodeVersion(entry));
    }
    const answer = await evaluate<string[]>(client, OFFER, keys, args, peer.untracks);
    return refusalsOf(answer).map((refusal) => ({
      ...refusal,
      userId: entries[refusal.index]!.userId,
    }));
  }

  /**
   * Tells what was refused.
   * @throws CacheStaleError for users of whom an older copy may be left
   */
  #report(refused: readonly Refused[]): void {
    const of = (outcome: Outcome) => refused.find((refusal) => refusal.outcome === outcome);
    const [foreign, dropped, left] = [of("foreign"), of("dropped"), of("stale")];
    if (foreign) {
      this.#connection.notice(
        `has keys of other programs where copies of users would be (one is a ` +
          `${foreign.reason}): these users are not ` +
          "cached; a CACHE_PREFIX of its own would part them",
      );
    }
    if (dropped) {
      const fault = this.#connection.fault(new Error(dropped.reason));
      this.options.onError?.(
        new Error(`${fault.message}; what it had of these users is dropped instead`),
      );
    }
    if (left === undefined) return;
    const fault = this.#connection.fault(new Error(left.reason));
    if (/\bREADONLY\b/.test(left.reason)) this.#connection.giveUp(new Error(left.reason));
    throw new CacheStaleError(stale(refused), fault.message, { cause: fault });
  }

  async forget(userId: string, atLeast?: Version): Promise<void> {
    await this.#connection.call((client, peer) => this.#drop(client, peer, userId, atLeast));
    // A version without a name has no guard: what a run before this one sent may still take effect.
    if (atLeast !== undefined && this.#epoch() === undefined) throw new Error(NOBODYS);
  }

  async #drop(
    client: RedisClient,
    peer: Peer,
    userId: string,
    atLeast?: Version,
  ): Promise<void> {
    const epoch = this.#epoch();
    // One more, as what is forgotten is not to come back either; an entry that follows it may be just
    // this version.
    const guard = atLeast === undefined || epoch === undefined
      ? []
      : [encodeVersion({ ...atLeast, seq: atLeast.seq + 1, value: "" }), epoch];
    try {
      await evaluate(client, FORGET, this.#keysOf(userId), guard, peer.untracks);
    } catch (error) {
      if (!(error instanceof ErrorReply)) throw error;
      await client.sendCommand(["DEL", this.#keys.ofVersion(userId)]);
    }
  }

  /** Asks for what a read needs. */
  async ping(): Promise<void> {
    await this.read("");
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  #keysOf(userId: string): [value: string, version: string] {
    return [this.#keys.ofValue(userId), this.#keys.ofVersion(userId)];
  }

  /** Every hot read asks for it, so that it is put together once for as long as it is the same. */
  #epoch(): string | undefined {
    const namespace = this.options.namespace();
    if (namespace === undefined) return undefined;
    const server = this.#connection.epoch;
    const last = this.#lastEpoch;
    if (namespace === last.namespace && server === last.server) return last.text;
    this.#lastEpoch = { namespace, server, text: server + namespace };
    return this.#lastEpoch.text;
  }
}

/** Takes a key of another type for a miss: one that holds a list, say, is somebody else's. */
function missIfOtherType(error: unknown): null {
  if (error instanceof ErrorReply && error.message.startsWith("WRONGTYPE")) return null;
  throw error;
}

/** Resolves to false when the server refuses the call. */
async function isDone(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof ErrorReply) return false;
    throw error;
  }
}

function stale(refused: readonly Refused[]): string[] {
  return refused.filter(({ outcome }) => outcome === "stale").map(({ userId }) => userId);
}
