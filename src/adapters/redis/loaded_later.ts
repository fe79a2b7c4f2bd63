/**
 * Stands for what is in Redis until it is loaded: the driver takes longer to load than the rest
 * of the program, and nobody needs it to listen, to recover, or to accept a write.
 */
import type { Cache } from "../../ports/cache.ts";
import type { Lease } from "../../ports/lease.ts";
import type { RedisCacheOptions } from "./cache.ts";
import type { RedisLeaseOptions } from "./lease.ts";

/** Returns the cache, which is loaded, and begins to connect, at the first call. */
export function createRedisCacheLater(options: RedisCacheOptions): Cache {
  let loading: Promise<Cache> | undefined;
  let cache: Cache | undefined;
  const load = async () => cache = (await import("./cache.ts")).createRedisCache(options);
  const loaded = () => loading ??= load();
  return {
    get: (userId) =>
      cache === undefined ? loaded().then((it) => it.get(userId)) : cache.get(userId),
    update: async (entries, areStored) => (await loaded()).update(entries, areStored),
    token: async () => (await loaded()).token(),
    fill: async (entries, token) => (await loaded()).fill(entries, token),
    forget: async (userId, atLeast) => (await loaded()).forget(userId, atLeast),
    close: async () => (await loading)?.close(),
  };
}

/** Returns the lease, which is loaded, and connects, at the first call. */
export function createRedisLeaseLater(options: RedisLeaseOptions): Lease {
  let loading: Promise<Lease> | undefined;
  const load = async () => new (await import("./lease.ts")).RedisLease(options);
  const loaded = () => loading ??= load();
  return {
    hold: async (holder, lifeMs) => (await loaded()).hold(holder, lifeMs),
    release: async (holder) => (await loaded()).release(holder),
    close: async () => (await loading)?.close(),
  };
}
