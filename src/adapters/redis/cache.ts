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
import type { Cache, CachedEntry, FillToken } from "../../ports/cache.ts";
import { systemClock } from "../../ports/clock.ts";
import { Connection } from "./connection.ts";
import { drop, NOBODYS } from "./drop.ts";
import { Fence } from "./fence.ts";
import type { RedisAddress } from "./handshake.ts";
import { decode, KeyLayout } from "./keys.ts";
import {
  LocalCopies,
  type LocalLimits,
  type Reply,
  type TrackedCache,
  withLocalCopies,
} from "./local_copies.ts";
import { Offers } from "./offers.ts";

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

class RedisCache implements TrackedCache {
  /** It is undefined where copies are turned off. */
  readonly copies: LocalCopies | undefined;
  readonly #keys: KeyLayout;
  readonly #connection: Connection;
  readonly #fence: Fence;
  readonly #offers: Offers;
  #lastEpoch = { namespace: "", server: "", text: "" };

  constructor(private readonly options: RedisCacheOptions) {
    this.#keys = new KeyLayout(options.prefix);
    const { ttlMs, callTimeoutMs = DEFAULT_CALL_TIMEOUT_MS, onError = () => {} } = options;
    this.copies = options.local.maxEntries === 0
      ? undefined
      : new LocalCopies(options.local, ttlMs, () => this.#epoch(), systemClock);
    this.#connection = new Connection({
      address: options,
      tracking: this.copies !== undefined,
      callTimeoutMs,
      onInvalidate: (key) =>
        key === null ? this.copies?.clear() : this.copies?.forget(this.#keys.userOf(key)),
      onError,
      onNotice: options.onNotice ?? (() => {}),
    });
    this.#fence = new Fence(this.#connection, this.#keys.ofFence);
    this.#offers = new Offers(this.#connection, {
      keys: this.#keys,
      fence: this.#fence,
      epoch: () => this.#epoch(),
      ...{ ttlMs, callTimeoutMs, onError },
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
    const keys = this.#keys.of(userId);
    const [value, version] = await this.#connection.call((client) =>
      Promise.all(
        keys.map((key) => client.sendCommand<string | null>(["GET", key]).catch(missIfOtherType)),
      )
    );
    const epoch = this.#epoch();
    const isThere = typeof value === "string" && typeof version === "string" && epoch !== undefined;
    return { found: isThere ? decode(userId, value, version, epoch) : undefined, epoch };
  }

  update(entries: readonly Entry[], areStored = false): Promise<void> {
    return this.#offers.update(entries, areStored);
  }

  /** It has the epoch, too: what was looked up before a failover is not for who has taken over. */
  async token(): Promise<FillToken | undefined> {
    const namespace = this.options.namespace();
    const { server, value } = await this.#fence.read();
    return namespace && `${server}${namespace}\n${value}`;
  }

  async fill(entries: readonly Entry[], token: FillToken): Promise<boolean> {
    const [epoch, fence] = token.split("\n");
    return epoch === this.#epoch() && await this.#offers.fill(entries, fence!);
  }

  async forget(userId: string, atLeast?: Version): Promise<void> {
    if (atLeast !== undefined) await this.#fence.renew();
    await this.#connection.call((client, peer) =>
      drop(client, peer, this.#keys, userId, this.#epoch(), atLeast)
    );
    // A version without a name has no guard: what a run before this one sent may still take effect.
    if (atLeast !== undefined && this.#epoch() === undefined) throw new Error(NOBODYS);
  }

  async close(): Promise<void> {
    await this.#connection.close();
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
