/** Caches and plain clients on a Redis of a test's own, all of which go away with it. */
import { createClient } from "@redis/client";
import { createRedisCache, type RedisCacheOptions } from "../../src/adapters/redis/cache.ts";
import type { Cache } from "../../src/ports/cache.ts";
import {
  REDIS_VERSIONS,
  type RedisServer,
  type RedisServerOptions,
  type RedisVersion,
  startRedis,
} from "./redis.ts";

export type RawClient = ReturnType<typeof createClient>;

export interface Watched {
  readonly cache: Cache;
  /** What it told of, in the order it came. */
  readonly errors: string[];
  readonly notices: string[];
}

export const TTL_MS = 60_000;
/** Long enough for a busy machine: where a test is about silence, it says how long. */
const PATIENT_MS = 10_000;
export const LOCAL = { maxEntries: 10_000, maxBytes: 64 * 1024 * 1024 };
export const NO_LOCAL = { maxEntries: 0, maxBytes: 0 };

/** Makes a cache without copies in the process and with patient calls; `options` may differ. */
export function makeRedisCache(options: Partial<RedisCacheOptions> & { url: string }): Cache {
  return createRedisCache({
    prefix: "",
    namespace: () => "ns",
    ttlMs: TTL_MS,
    local: NO_LOCAL,
    callTimeoutMs: PATIENT_MS,
    ...options,
  });
}

export class RedisTest extends AsyncDisposableStack {
  constructor(readonly server: RedisServer, readonly version: RedisVersion) {
    super();
  }

  open(options: Partial<RedisCacheOptions> = {}): Watched {
    const watched = { errors: [] as string[], notices: [] as string[] };
    const cache = makeRedisCache({
      url: this.server.url,
      onError: ({ message }) => watched.errors.push(message),
      onNotice: (message) => watched.notices.push(message),
      ...options,
    });
    this.defer(() => cache.close());
    return { cache, ...watched };
  }

  /** Sees, and does, what it likes. */
  async raw(url = this.server.url): Promise<RawClient> {
    const client = createClient({ url });
    client.on("error", () => {}); // Its calls fail, too.
    await client.connect();
    this.defer(() => client.destroy());
    return client as RawClient;
  }
}

/** One test a version, each on a fresh server. */
export function onRedis(
  behaviour: string,
  run: (test: RedisTest) => Promise<void>,
  { versions = REDIS_VERSIONS, ...options }: Omit<RedisServerOptions, "version"> & {
    readonly versions?: readonly RedisVersion[];
  } = {},
): void {
  for (const version of versions) {
    Deno.test(`redis ${version}: ${behaviour}`, async () => {
      await using server = await startRedis({ version, ...options });
      await using test = new RedisTest(server, version);
      await run(test);
    });
  }
}
