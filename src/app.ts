/** The composition root: the only importer of adapters. Starts the parts in order and stops them in the reverse one. */
import { createMemoryCache } from "./adapters/memory.ts";
import { createPostgresStore } from "./adapters/postgres.ts";
import { createRedisCache } from "./adapters/redis/cache.ts";
import { createSqliteStore } from "./adapters/sqlite.ts";
import type { Batcher } from "./batcher.ts";
import { Breaker } from "./breaker.ts";
import { CacheClient } from "./cache_client.ts";
import type { Config } from "./config.ts";
import { openCore } from "./core.ts";
import { withDeadline } from "./deadline.ts";
import { reasonOf } from "./errors.ts";
import { deadLetterHandlers } from "./handlers/dead_letters.ts";
import { type HealthCheck, healthHandler } from "./handlers/health.ts";
import { metricsHandler } from "./handlers/metrics.ts";
import { readHandler } from "./handlers/read.ts";
import { writeHandler, writeStatusHandler } from "./handlers/write.ts";
import { denoFileSystem } from "./journal/file_system.ts";
import type { JournalObserver } from "./journal/journal.ts";
import { type JournalCondition, verifyJournal } from "./journal/verify.ts";
import { type Cache, type Clock, type DeadLetters, type Queue, type Store, systemClock } from "./ports.ts";
import { Server } from "./server.ts";
import { limitRate, Log } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { VERSION } from "./version.ts";

const LOOP_LAG_SAMPLE_MS = 1_000;
const LOCAL_CACHE_MAX_BYTES = 256 * 1024 * 1024;
const FAULT_LOG_INTERVAL_MS = 10_000;
/** A scrape must not wait for a store that is away. */
const SCRAPE_LIMIT_MS = 500;
const LAME_DUCK_MS = 500;
const DRAIN_POLL_MS = 25;

export interface App {
  /** Listens, recovers what an earlier run left, then accepts. Returns the base URL. @throws when that cannot be done */
  start(): Promise<string>;
  /** Stops accepting, finishes requests, flushes within the grace time, and closes everything. What is left is in the journal. */
  stop(): Promise<void>;
}

type Phase = "starting" | "recovering" | "serving" | "draining";

export function createApp(config: Config, clock: Clock = systemClock): App {
  return new Application(config, clock);
}

class Application implements App {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #breakers: { readonly store: Breaker; readonly cache: Breaker };
  readonly #store: Store & DeadLetters;
  readonly #cache: CacheClient;
  readonly #server: Server;
  #phase: Phase = "starting";
  #queue: Queue | undefined;
  #batcher: Batcher | undefined;
  #stopSampling: (() => void) | undefined;

  constructor(private readonly config: Config, private readonly clock: Clock) {
    this.#log = new Log(config.log.level, config.log.format);
    this.#breakers = { store: new Breaker("The store", clock), cache: new Breaker("The cache", clock) };
    this.#metrics = new Metrics({
      queueDepth: () => this.#queue?.stats().depth ?? 0,
      queueOldestAgeSeconds: () => {
        const oldestMs = this.#queue?.stats().oldestAcceptedMs;
        return oldestMs === undefined ? 0 : Math.max(0, clock.now() - oldestMs) / 1000;
      },
      journalBytes: () => this.#queue?.stats().bytes ?? 0,
      deadLetters: () => withDeadline(this.#store.count(), SCRAPE_LIMIT_MS, "The store"),
      breakers: this.#breakers,
    }, clock.now());
    this.#store = this.#breakers.store.guard(createStore(config));
    const logCacheFault = limitRate(FAULT_LOG_INTERVAL_MS, (suppressed, error) => {
      this.#log.warn("The cache failed; taken for a miss", { error, suppressed });
    });
    const onCacheFault = (error: unknown) => {
      this.#metrics.cacheErrors.inc();
      logCacheFault(error);
    };
    const cache = this.#breakers.cache.guard(createCache(config, logCacheFault, (message) => this.#log.warn(message)));
    this.#cache = new CacheClient(cache, config.cache.ttlMs, clock, onCacheFault);
    const { host, port } = config.listen;
    this.#server = new Server({ host, port, origins: new Set(config.corsOrigins) }, {
      metrics: this.#metrics,
      log: this.#log,
    });
  }

  async start(): Promise<string> {
    this.#server.mount({
      metrics: metricsHandler(this.#metrics),
      live: healthHandler([]),
      ready: healthHandler(this.#readinessChecks()),
    });
    const url = this.#server.start();
    this.#phase = "recovering";
    await this.#recover();
    this.#stopSampling = this.#sampleLoopLag();
    this.#phase = "serving";
    const { store, cache, dataDir, ack } = this.config;
    this.#log.info(`dsproxy ${VERSION} listening on ${url}`, { store: store.kind, cache: cache.kind, dataDir, ack });
    return url;
  }

  async stop(): Promise<void> {
    this.#phase = "draining";
    const { shutdownGraceMs } = this.config;
    this.#log.info("Shutting down: finishing requests, then flushing", { graceMs: shutdownGraceMs });
    const grace = AbortSignal.timeout(shutdownGraceMs);
    // Who asks whether it is ready is told no, before anybody is turned away.
    await new Promise((resolve) => setTimeout(resolve, Math.min(LAME_DUCK_MS, shutdownGraceMs / 10)));
    // An idle connection can keep the server from ever being done, so it gets no more than the grace time.
    let serverDone = false;
    const serverStopped = withDeadline(this.#server.stop(), shutdownGraceMs, "Open requests").catch((error) => {
      this.#log.warn("Requests were still open at the end of the grace time", { error });
    }).finally(() => serverDone = true);
    // Requests under way may wait for a flush, and new entries may come of them: drain until both are at an end.
    let storeTakes = true;
    do {
      storeTakes = await (this.#batcher?.drain(grace) ?? true);
      await Promise.race([serverStopped, new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS))]);
    } while (!serverDone && storeTakes);
    await this.#batcher?.stop();
    await serverStopped;
    if (storeTakes) await this.#batcher?.drain(grace);
    await this.#close();
  }

  async #recover(): Promise<void> {
    const { config, clock } = this;
    let recovered = 0;
    const { queue, writer, reader, batcher } = await openCore({
      journal: { ...config.journal, onRecovered: () => recovered++, observer: this.#journalObserver() },
      batch: config.batch,
      store: this.#store,
      cache: this.#cache,
      clock,
      metrics: this.#metrics,
      log: this.#log,
      random: Math.random,
    });
    this.#queue = queue;
    if (recovered > 0) this.#log.info("Recovered entries that the store may not have yet", { entries: recovered });
    this.#server.mount({
      write: writeHandler({ writer, limits: config.limits, defaultAck: config.ack, clock, metrics: this.#metrics }),
      writeStatus: writeStatusHandler(queue, this.#store),
      ...deadLetterHandlers(this.#store, this.#cache),
      read: readHandler({ reader, keyBytes: config.limits.keyBytes, metrics: this.#metrics }),
    });
    this.#batcher = batcher;
    batcher.start();
  }

  #readinessChecks(): HealthCheck[] {
    const phases: Record<Phase, string | undefined> = {
      starting: "starting",
      recovering: "recovering the journal",
      serving: undefined,
      draining: "shutting down",
    };
    return [
      { name: "phase", failure: () => phases[this.#phase] },
      { name: "journal", failure: () => this.#queue?.stats().failure },
    ];
  }

  #journalObserver(): JournalObserver {
    return {
      onFsync: (durationMs) => this.#metrics.fsyncDuration.observe(durationMs / 1000),
      onDamage: (damage) => {
        this.#metrics.journalDamage.inc({ kind: damage.kind }, 1);
        this.#log.error("The journal has a damaged stretch; what could be read around it is kept", { ...damage });
      },
      onFault: (reason) => this.#log.warn(reason),
    };
  }

  #sampleLoopLag(): () => void {
    let dueMs = performance.now() + LOOP_LAG_SAMPLE_MS;
    return this.clock.setInterval(() => {
      const nowMs = performance.now();
      this.#metrics.recordLoopLag(Math.max(0, nowMs - dueMs) / 1000);
      dueMs = nowMs + LOOP_LAG_SAMPLE_MS;
    }, LOOP_LAG_SAMPLE_MS);
  }

  async #close(): Promise<void> {
    this.#stopSampling?.();
    const left = this.#queue?.stats().depth ?? 0;
    await this.#queue?.close(this.#cache.current);
    await this.#cache.close();
    await this.#store.close();
    this.#log.info("Stopped", { leftInJournal: left });
  }
}

function createStore(config: Config): Store & DeadLetters {
  const { store } = config;
  if (store.kind === "sqlite") return createSqliteStore({ path: store.path });
  return createPostgresStore(store);
}

function createCache(config: Config, onError: (error: unknown) => void, onNotice: (message: string) => void): Cache {
  const { cache } = config;
  const local = { maxEntries: cache.localMax, maxBytes: LOCAL_CACHE_MAX_BYTES };
  if (cache.kind === "memory") return createMemoryCache({ ...local, ttlMs: cache.ttlMs });
  return createRedisCache({ ...cache, local, onError, onNotice, namespace: () => "standalone" });
}

/** What `--check-config` prints: each configured part opened, read-only, and asked whether it works. */
export async function checkConfiguration(config: Config): Promise<{ ok: boolean; message: string }> {
  const store = createStore(config);
  const cache = createCache(config, () => {}, () => {});
  const checks: [string, () => Promise<string>][] = [
    ["journal", async () => describeJournal(await verifyJournal(denoFileSystem, config.journal.dir))],
    [`store (${config.store.kind})`, () => checkStore(config, store)],
    [`cache (${config.cache.kind})`, () => cache.ping().then(() => "answers")],
  ];
  const lines: string[] = [];
  let ok = true;
  for (const [name, check] of checks) {
    try {
      lines.push(`ok      ${name}: ${await check()}`);
    } catch (error) {
      ok = false;
      lines.push(`failed  ${name}: ${reasonOf(error)}`);
    }
  }
  await Promise.allSettled([store.close(), cache.close()]);
  return { ok, message: lines.join("\n") };
}

async function checkStore({ store }: Config, opened: Store): Promise<string> {
  if (store.kind === "sqlite") {
    try {
      await Deno.stat(store.path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "not there yet; it is made at the first start";
      throw error;
    }
  }
  await opened.ping();
  return "answers";
}

function describeJournal({ instance, segments, bytes, records, unacked, damage }: JournalCondition): string {
  if (instance === undefined) return "not there yet; it is made at the first start";
  const stretches = damage.map(({ kind, segment, offset, bytes }) =>
    `${kind} in ${segment} at ${offset} (${bytes} bytes)`
  );
  const condition = damage.length === 0 ? "no damage" : `damage: ${stretches.join(", ")}`;
  return `instance ${instance}, ${records} records in ${segments} segments (${bytes} bytes), ${unacked} not in the store; ${condition}`;
}
