/** The adapters that the configuration chooses. The only importer of adapters. */
import { createMemoryCache } from "./adapters/memory.ts";
import { createPostgresStore, type StoreWatcher } from "./adapters/postgres/store.ts";
import { createRedisCache } from "./adapters/redis/cache.ts";
import { createSqliteStore } from "./adapters/sqlite.ts";
import type { Config } from "./config.ts";
import type { Cache, DeadLetters, Store, StoreIdentity } from "./ports.ts";

const LOCAL_CACHE_MAX_BYTES = 256 * 1024 * 1024;
/** Without a cache that instances share nobody says when another one has written: a copy is good for this long. */
const UNSHARED_COPY_MS = 1_000;

/** @param watcher of a store that others can change and exchange: not of the embedded one */
export function createStore({ store }: Config, watcher: StoreWatcher = {}): Store & StoreIdentity & DeadLetters {
  if (store.kind === "sqlite") return createSqliteStore({ path: store.path });
  return createPostgresStore({ ...store, ...watcher });
}

/** What the cache has to tell, and to be told. */
export interface CacheWatcher {
  /** See `CacheNamespace.text`. */
  readonly namespace: () => string | undefined;
  /** Told each time that the connection is lost or cannot be made, or that something could not be kept. */
  readonly onFault: (error: unknown) => void;
  /** Told once of each thing that is done without. */
  readonly onNotice: (message: string) => void;
}

export function createCache({ cache, store }: Config, { namespace, onFault, onNotice }: CacheWatcher): Cache {
  const local = { maxEntries: cache.localMax, maxBytes: LOCAL_CACHE_MAX_BYTES };
  if (cache.kind === "redis") return createRedisCache({ ...cache, local, namespace, onError: onFault, onNotice });
  // The embedded store is this instance's alone.
  const ttlMs = store.kind === "sqlite" ? cache.ttlMs : Math.min(cache.ttlMs, UNSHARED_COPY_MS);
  return createMemoryCache({ ...local, ttlMs });
}
