/**
 * Makes the adapters that the configuration chooses. Nothing else imports adapters. Those that
 * bring a driver along are loaded when they are chosen: the drivers take longer to load than all
 * else, and a tenth of the memory.
 */
import { createMemoryFlushSlots } from "./adapters/memory/flush_slots.ts";
import { createMemoryCache } from "./adapters/memory/cache.ts";
import { MemoryInstanceBoard } from "./adapters/memory/instance_board.ts";
import { LeaseOfOne, TERMS_OF_ONE } from "./adapters/memory/lease.ts";
import { quoteName, schemaScript } from "./adapters/postgres/ddl.ts";
import type { DatabaseOptions } from "./adapters/postgres/database.ts";
import type { Pool, PoolOptions } from "./adapters/postgres/pool.ts";
import { findIdentity } from "./adapters/postgres/identity.ts";
import { createRedisFlushSlotsLater } from "./adapters/redis/flush_slots_later.ts";
import { createRedisInstanceBoardLater } from "./adapters/redis/instance_board_later.ts";
import { createRedisCacheLater, createRedisLeaseLater } from "./adapters/redis/loaded_later.ts";
import { createSqliteStore } from "./adapters/sqlite/store.ts";
import { LayeredSlots, type LayeredSlotsParts } from "./cluster/layered_slots.ts";
import { type Config, storePlace } from "./config/config.ts";
import { MEMORY_BUDGET } from "./memory_budget.ts";
import type { BrokerWatcher, Consumer, Publisher } from "./ports/broker.ts";
import type { Cache } from "./ports/cache.ts";
import type { Clock } from "./ports/clock.ts";
import type { Lease } from "./ports/lease.ts";
import type { InstanceBoard } from "./ports/instance_board.ts";
import type { FlushSlots } from "./ports/flush_slots.ts";
import type { Remark } from "./ports/remark.ts";
import type { StorePorts } from "./ports/store.ts";
import type { Terms } from "./ports/terms.ts";
import { checkStoreBinding, StoreBinding } from "./guarding/store_binding.ts";

/**
 * Without a cache that instances share nobody says when another one has written: a comparison with
 * the store is good for this long.
 */
const UNSHARED_COPY_MS = 1_000;

/** It looks into the catalogue once. */
const RETENTION_CHECK_LIMIT_MS = 5_000;

/** It watches a store that others can change and exchange, which the embedded one is not. */
type StoreWatcher = Pick<DatabaseOptions, "gate" | "onIndexFault">;

/**
 * Loads the configured store.
 * @returns what makes it; it connects to nothing before its first call
 */
export async function loadStore(
  { store }: Config,
): Promise<(watcher: StoreWatcher) => StorePorts> {
  if (store.kind === "sqlite") return () => createSqliteStore({ path: store.path });
  const { createPostgresStore } = await import("./adapters/postgres/store.ts");
  return (watcher) => createPostgresStore({ ...store, ...watcher });
}

/** It makes the two ends of a broker, which connect to nothing before their first call. */
export interface Broker {
  readonly makePublisher: (watcher: BrokerWatcher) => Publisher;
  readonly makeConsumer: (watcher: BrokerWatcher) => Consumer;
}

/** Loads the configured broker; resolves to undefined where there is none. */
export async function loadBroker({ queue }: Config): Promise<Broker | undefined> {
  if (queue.kind === "journal") return undefined;
  if (queue.kind === "rabbitmq") {
    const { createRabbitmqConsumer, createRabbitmqPublisher } = await import(
      "./adapters/rabbitmq/broker.ts"
    );
    return {
      makePublisher: (watcher) => createRabbitmqPublisher(queue, watcher),
      makeConsumer: (watcher) => createRabbitmqConsumer(queue, watcher),
    };
  }
  const { createKafkaConsumer, createKafkaPublisher } = await import("./adapters/kafka/broker.ts");
  return {
    makePublisher: (watcher) => createKafkaPublisher(queue, watcher),
    makeConsumer: (watcher) => createKafkaConsumer(queue, watcher),
  };
}

/** The cache tells these, and is told by them under which name it keeps copies. */
interface CacheWatcher {
  /** It returns what `CacheNamespace.text` is at that moment. */
  readonly namespace: () => string | undefined;
  /**
   * It is told each time that the connection is lost or cannot be made, or that something could not
   * be kept.
   */
  readonly onFault: (error: unknown) => void;
  /** It is told once of each thing that is done without. */
  readonly onNotice: (message: string) => void;
}

export function createCache(
  { cache, store }: Config,
  { namespace, onFault, onNotice }: CacheWatcher,
  clock: Clock,
): Cache {
  const local = { maxEntries: cache.localMax, maxBytes: MEMORY_BUDGET.localCopies.bytes };
  if (cache.kind === "redis") {
    return createRedisCacheLater({ ...cache, local, namespace, onError: onFault, onNotice });
  }
  // The embedded store is this instance's alone, so that nobody else can outdate a copy.
  const unshared = store.kind === "sqlite" ? {} : { completeMs: UNSHARED_COPY_MS };
  return createMemoryCache({ ...local, ttlMs: cache.ttlMs, clock, ...unshared });
}

/** Chooses who keeps the lease: Redis where there is one, else a row of the store. */
export function createLease(
  { cache, store }: Pick<Config, "cache" | "store">,
  { ports, identity, clock }: {
    readonly ports: Pick<StorePorts, "lease">;
    /** It returns the store's. */
    readonly identity: () => Promise<string>;
    readonly clock: Pick<Clock, "now">;
  },
): Lease {
  // The embedded store is this process's alone, whoever else has the same Redis.
  if (store.kind === "sqlite") return new LeaseOfOne(() => clock.now());
  if (cache.kind === "redis") return createRedisLeaseLater({ ...cache, identity });
  return ports.lease ?? new LeaseOfOne(() => clock.now());
}

/** Chooses where instances in front of one store leave notes for each other. */
export function createInstanceBoard(
  { cache, store }: Pick<Config, "cache" | "store">,
  { identity, clock }: {
    /** It returns the store's. */
    readonly identity: () => Promise<string>;
    readonly clock: Pick<Clock, "monotonicMs">;
  },
): InstanceBoard {
  // The embedded store is this process's alone, whoever else has the same Redis.
  if (store.kind === "sqlite" || cache.kind !== "redis") return new MemoryInstanceBoard(clock);
  return createRedisInstanceBoardLater({ ...cache, identity });
}

export function termsOf({ terms = TERMS_OF_ONE }: Pick<StorePorts, "terms">): Terms {
  return terms;
}

/** A flush that has no slot after so long is tried again, and says so. */
const SLOT_WAIT_MS = 60_000;

/** Makes the slots for flushes; returns undefined where flushes have no bound. */
export function createFlushSlots(
  { flushSlots: count, cache }: Pick<Config, "flushSlots" | "cache">,
  clock: Clock,
  watcher: Pick<LayeredSlotsParts, "metrics" | "log">,
): FlushSlots | undefined {
  if (count === undefined) return undefined;
  const local = createMemoryFlushSlots({ count, waitMs: SLOT_WAIT_MS, clock });
  if (cache.kind !== "redis") return local;
  const shared = createRedisFlushSlotsLater({ ...cache, count, waitMs: SLOT_WAIT_MS });
  return new LayeredSlots({ local, shared, clock, ...watcher });
}

/** A part has these things to say about the configuration. */
export interface Findings {
  /** Each keeps the service from working, or from working for every record. */
  readonly problems: readonly string[];
  /** These are good to know, and keep nothing from working. */
  readonly notes: readonly string[];
  /** It says in a few words what is there. */
  readonly found?: string;
}

/**
 * Tries what the service does with the store, and undoes it.
 * @throws the reason why it cannot be tried
 */
export async function checkStore(config: Config): Promise<Findings> {
  const { store, dataDir } = config;
  if (store.kind === "sqlite") return await checkSqlite(config, store.path);
  const bound = await checkStoreBinding(dataDir, store.kind);
  const [{ checkPostgres }, { whatRetentionLacks }] = await Promise.all([
    import("./adapters/postgres/check.ts"),
    import("./adapters/postgres/retention.ts"),
  ]);
  const pool = await smallPool(store, async (session) => {
    if (bound === undefined) return;
    new StoreBinding(dataDir, bound).admit(await findIdentity(session), storePlace(store));
  });
  try {
    const findings = await checkPostgres(pool, config.queue.kind !== "journal");
    if (config.retentionMs === undefined) return findings;
    const lacking = await pool.run(RETENTION_CHECK_LIMIT_MS, whatRetentionLacks);
    return lacking === undefined ? findings : { ...findings, notes: [...findings.notes, lacking] };
  } finally {
    await pool.close();
  }
}

async function smallPool(
  store: Extract<Config["store"], { kind: "postgres" }>,
  admit?: PoolOptions["admit"],
): Promise<Pool> {
  const { createPool } = await import("./adapters/postgres/pool.ts");
  return createPool({ ...store, poolSize: 1, ...(admit && { admit }) });
}

/**
 * Looks at how the store is set up. @throws the reason why it cannot be asked
 */
export async function examineStore({ store }: Config): Promise<readonly Remark[]> {
  if (store.kind === "sqlite") return [];
  const { examinePostgres } = await import("./adapters/postgres/examine.ts");
  const pool = await smallPool(store);
  try {
    const isLocal = store.hosts.every(({ host }) => isThisMachine(host));
    return await examinePostgres(pool, { poolSize: store.poolSize, isLocal });
  } finally {
    await pool.close();
  }
}

/** Looks at how the cache is set up. @throws the reason why it cannot be asked */
export async function examineCache({ cache }: Config): Promise<readonly Remark[]> {
  if (cache.kind !== "redis") return [];
  const { examineRedis } = await import("./adapters/redis/examine.ts");
  return await examineRedis({ ...cache, tracking: false }, isThisMachine(cache.host));
}

function isThisMachine(host: string): boolean {
  return host.startsWith("/") || /^(localhost|127\..*|::1)$/.test(host);
}

async function checkSqlite(config: Config, path: string): Promise<Findings> {
  try {
    await Deno.stat(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { problems: [], notes: [], found: "not there yet; it is made at the first start" };
  }
  const { store } = (await loadStore(config))({});
  try {
    await store.ping();
    return { problems: [], notes: [], found: "answers" };
  } finally {
    await store.close();
  }
}

export async function checkCache({ cache }: Config): Promise<Findings> {
  if (cache.kind !== "redis") return { problems: [], notes: [], found: "needs nothing" };
  const { checkRedis } = await import("./adapters/redis/check.ts");
  return await checkRedis({ ...cache, tracking: cache.localMax > 0 });
}

/** Reaches the broker and makes what is missing there, as a start would. */
export async function checkBroker(config: Config): Promise<Findings> {
  const broker = await loadBroker(config);
  const publisher = broker?.makePublisher({ onFault: () => {} });
  try {
    await publisher?.ping();
    return { problems: [], notes: [], found: "answers" };
  } finally {
    await publisher?.close();
  }
}

/** Returns what `--print-schema` prints; undefined where the store makes its own schema. */
export function describeSchema({ store, retentionMs }: Config): string | undefined {
  if (store.kind !== "postgres") return undefined;
  return schemaScript("public", quoteName(store.user), retentionMs !== undefined);
}
