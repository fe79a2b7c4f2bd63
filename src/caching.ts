/** Makes the read cache, and what goes with it: whose copies it holds, what was answered last. */
import type { Config } from "./config/config.ts";
import type { Breaker } from "./guarding/breaker.ts";
import { cacheFaults } from "./guarding/cache_faults.ts";
import { GuardedCache } from "./guarding/guarded_cache.ts";
import { createCache } from "./parts.ts";
import type { Clock } from "./ports/clock.ts";
import type { StoreIdentity } from "./ports/store_identity.ts";
import { CacheClient } from "./reading/cache_client.ts";
import { CacheNamespace } from "./reading/cache_namespace.ts";
import { LastKnown } from "./reading/last_known.ts";
import type { Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

interface CachingParts {
  readonly identity: StoreIdentity;
  readonly breaker: Breaker;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
}

export interface Caching {
  readonly cache: CacheClient;
  readonly namespace: CacheNamespace;
  readonly lastKnown: LastKnown;
  /** Begins to load what the first call would wait for; what goes wrong is told as any fault. */
  load(): void;
}

export function makeCaching(config: Config, parts: CachingParts): Caching {
  const { identity, breaker, clock, metrics, log } = parts;
  const { ttlMs, kind } = config.cache;
  const namespace = new CacheNamespace(identity, clock);
  const lastKnown = new LastKnown(ttlMs, clock);
  const onFault = cacheFaults(metrics, log, clock, breaker);
  const unguarded = createCache(config, {
    namespace: () => namespace.text,
    onFault,
    onNotice: (message) => log.warn(message, { event: "cache-limited" }),
  }, clock);
  const cache = new CacheClient({
    cache: new GuardedCache(unguarded, breaker),
    ...{ ttlMs, clock, onFault },
    ...(kind !== "memory" && { sharing: namespace }),
    onForget: (userId) => lastKnown.forget(userId),
  });
  const load = () => void unguarded.token().catch(() => {});
  return { cache, namespace, lastKnown, load };
}
