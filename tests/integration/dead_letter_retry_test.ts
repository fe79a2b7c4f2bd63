/** What goes in when the leader tries it again is read everywhere, also where copies were made. */
import assert from "node:assert/strict";
import { createPostgresStore } from "../../src/adapters/postgres/store.ts";
import { createRedisCache } from "../../src/adapters/redis/cache.ts";
import { DeadLetterRetryDuty } from "../../src/cluster/dead_letter_retry.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { CacheNamespace } from "../../src/reading/cache_namespace.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { idleMetrics } from "../support/fakes.ts";
import { createDatabase, once } from "../support/postgres.ts";
import { postgresOptions } from "../support/postgres_options.ts";
import { sharedRedisUrl } from "../support/redis.ts";
import { LOCAL, TTL_MS } from "../support/redis_caches.ts";

/** Is a leader that serves no requests; `step` does the duty once. */
function leader(databaseUrl: string, prefix: string) {
  const ports = createPostgresStore(postgresOptions(databaseUrl));
  const namespace = new CacheNamespace(ports.identity, systemClock);
  const faults: unknown[] = [];
  const cache = new CacheClient({
    cache: createRedisCache({
      url: sharedRedisUrl(),
      ...{ prefix, ttlMs: TTL_MS, local: LOCAL, namespace: () => namespace.text },
      callTimeoutMs: 10_000,
    }),
    ttlMs: TTL_MS,
    clock: systemClock,
    onFault: (error) => void faults.push(error),
    sharing: namespace,
  });
  namespace.start();
  const duty = new DeadLetterRetryDuty({
    retries: ports.retries,
    agesMs: [1],
    forget: (entries) => cache.forget(entries),
    clock: systemClock,
    metrics: idleMetrics(),
    log: { debug() {}, info() {} },
  });
  return {
    faults,
    namespace,
    step: async () =>
      await duty.run(await ports.terms.begin("leader"), new AbortController().signal),
    async [Symbol.asyncDispose]() {
      await namespace.stop();
      await cache.close();
      await ports.store.close();
    },
  };
}

Deno.test("a dead letter that goes in is read at every instance, past its copies", async () => {
  const database = await createDatabase();
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-retry-" });
  const execute = (text: string) => once(database.url, (sql) => sql.unsafe(text));
  const prefix = `test-${crypto.randomUUID()}:`;
  const settings = (name: string) => ({
    DATA_DIR: `${dataDir}/${name}`,
    DATABASE_URL: database.url,
    REDIS_URL: sharedRedisUrl(),
    CACHE_PREFIX: prefix,
    BATCH_INTERVAL: "50ms",
  });
  try {
    await using a = await Dsproxy.start(settings("a"));
    await using b = await Dsproxy.start(settings("b"));
    await a.accept({ user_id: "u", value: "good", ts: 1_000 }, "?ack=flushed");
    await execute("alter table user_data add constraint no_bad check (value <> 'bad')");
    const id = await a.accept({ user_id: "u", value: "bad", ts: 2_000 });
    await eventually("it is dead", async () => await a.metric("dsproxy_dead_letters") === 1);
    const copies = async () =>
      await Promise.all([a, b].map(async (of) => (await of.read("u")).value));
    await eventually("both have copies", async () => {
      const sources = await Promise.all([a, b].map(async (of) => (await of.read("u")).source));
      return sources.every((source) => source === "local" || source === "redis");
    });
    assert.deepEqual(await copies(), ["good", "good"]);
    await execute("alter table user_data drop constraint no_bad");
    await using leading = leader(database.url, prefix);
    await eventually(
      "the leader knows whose copies",
      () => Promise.resolve(leading.namespace.text !== undefined),
    );
    await leading.step();
    // The servers of Redis's copies tell the processes in a moment of their own.
    await eventually(
      "both read it",
      async () => (await copies()).every((value) => value === "bad"),
      1_000,
    );
    assert.equal(await b.status(`/writes/${id}`), 200);
    assert.equal(await a.metric("dsproxy_dead_letters"), 0);
    assert.deepEqual(leading.faults, []);
    await a.stop();
    await b.stop();
  } finally {
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
});
