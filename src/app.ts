/**
 * The composition root: wires the parts, starts them in order and stops them in the reverse one.
 */
import type { Batcher } from "./delivery/batcher.ts";
import { Breaker } from "./guarding/breaker.ts";
import { GuardedCache } from "./guarding/guarded_cache.ts";
import { guardStore } from "./guarding/guarded_store.ts";
import { StoreFaults } from "./guarding/store_faults.ts";
import { CacheClient } from "./reading/cache_client.ts";
import { CacheNamespace } from "./reading/cache_namespace.ts";
import { ClockWatch } from "./telemetry/clock_watch.ts";
import { type Config, storePlace } from "./config/config.ts";
import { openCore } from "./core.ts";
import { withDeadline } from "./deadline.ts";
import { FirstContact } from "./guarding/first_contact.ts";
import { deadLetterHandlers } from "./http/handlers/dead_letters.ts";
import { type HealthCheck, healthHandler } from "./http/handlers/health.ts";
import { metricsHandler } from "./http/handlers/metrics.ts";
import { readHandler } from "./http/handlers/read.ts";
import { writeHandler } from "./http/handlers/write.ts";
import { writeStatusHandler } from "./http/handlers/write_status.ts";
import type { JournalObserver } from "./journal/journal.ts";
import { createCache, createStore } from "./parts.ts";
import { type Clock, systemClock } from "./ports/clock.ts";
import type { Intake } from "./ports/intake.ts";
import type { Queue } from "./ports/queue.ts";
import type { StorePorts } from "./ports/store.ts";
import { Server } from "./http/server.ts";
import { checkStoreBinding, openStoreBinding } from "./guarding/store_binding.ts";
import { StoreGate } from "./guarding/store_gate.ts";
import { limitRate, Log } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { VERSION } from "./version.ts";

const LOOP_LAG_SAMPLE_MS = 1_000;
const FAULT_LOG_INTERVAL_MS = 10_000;
/** A scrape must not wait for a store that is away. */
const SCRAPE_LIMIT_MS = 500;
const LAME_DUCK_MS = 500;
/** A start waits for so long to find out that the store is not the one that is meant. */
const WRONG_STORE_LIMIT_MS = 4_000;
const DRAIN_POLL_MS = 25;
const LAST_FLUSH_MS = 250;
/**
 * Of the grace time, for what comes after the last flush: connections that do not answer are given
 * up, files are closed.
 */
const CLOSING_MS = 1_750;

export interface App {
  /**
   * Listens, recovers what an earlier run left, then accepts. Returns the base URL. @throws when
   * that cannot be done
   */
  start(): Promise<string>;
  /**
   * Stops accepting, finishes requests, flushes within the grace time, and closes everything. What
   * is left is in the journal.
   */
  stop(): Promise<void>;
}

type Phase = "starting" | "recovering" | "serving" | "draining";

export function createApp(config: Config, clock: Clock = systemClock): App {
  return new Application(config, clock);
}

class Application implements App {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #breakers: Readonly<Record<"store" | "store-reads" | "cache", Breaker>>;
  readonly #ports: StorePorts;
  readonly #namespace: CacheNamespace;
  readonly #cache: CacheClient;
  readonly #server: Server;
  readonly #clockWatch: ClockWatch;
  readonly #gate: StoreGate;
  readonly #firstContact: FirstContact;
  #phase: Phase = "starting";
  #queue: Queue | undefined;
  #batcher: Batcher | undefined;
  #stopSampling: (() => void) | undefined;

  constructor(private readonly config: Config, private readonly clock: Clock) {
    this.#log = new Log(config.log.level, config.log.format);
    this.#breakers = {
      "store": new Breaker("The store", clock),
      "store-reads": new Breaker("The store", clock),
      "cache": new Breaker("The cache", clock),
    };
    this.#metrics = new Metrics({
      queueDepth: () => this.#queue?.stats().depth ?? 0,
      queueOldestAgeSeconds: () => {
        const oldestMs = this.#queue?.stats().oldestAcceptedMs;
        return oldestMs === undefined ? 0 : Math.max(0, clock.now() - oldestMs) / 1000;
      },
      journalBytes: () => this.#queue?.stats().bytes ?? 0,
      deadLetters: async () => {
        if (this.#phase === "starting" || this.#phase === "recovering") {
          throw new Error("The store is not asked yet");
        }
        return await withDeadline(this.#ports.deadLetters.count(), SCRAPE_LIMIT_MS, "The store");
      },
      breakers: this.#breakers,
    }, clock.now());
    this.#gate = new StoreGate(storePlace(config.store), this.#log);
    const ports = createStore(config, {
      gate: this.#gate,
      onIndexFault: (error) =>
        this.#log.warn("The index for reads could not be made; it is tried again", { error }),
    });
    this.#ports = guardStore(
      ports,
      { store: this.#breakers.store, reads: this.#breakers["store-reads"] },
      new StoreFaults(this.#metrics, this.#log).note,
    );
    this.#firstContact = new FirstContact(ports.store, clock, this.#log);
    const logCacheFault = limitRate(FAULT_LOG_INTERVAL_MS, (suppressed, error) => {
      this.#log.warn("The cache failed; taken for a miss", { error, suppressed });
    });
    const onCacheFault = (error: unknown) => {
      this.#metrics.cacheErrors.inc();
      logCacheFault(error);
    };
    this.#namespace = new CacheNamespace(this.#ports.identity, clock);
    this.#clockWatch = new ClockWatch({ clock, log: this.#log, steps: this.#metrics.clockSteps });
    const unguarded = createCache(config, {
      namespace: () => this.#namespace.text,
      onFault: onCacheFault,
      onNotice: (message) => this.#log.warn(message),
    });
    const cache = new GuardedCache(unguarded, this.#breakers.cache);
    // Copies in this process alone are nobody else's concern.
    const sharing = config.cache.kind === "memory" ? undefined : this.#namespace;
    this.#cache = new CacheClient(cache, config.cache.ttlMs, clock, onCacheFault, sharing);
    const { host, port } = config.listen;
    const { admin, corsOrigins, dataDir } = config;
    this.#server = new Server({ host, port, origins: new Set(corsOrigins), admin, dataDir }, {
      metrics: this.#metrics,
      log: this.#log,
    });
  }

  async start(): Promise<string> {
    // Before anybody is served: what waits in the directory must not go to another store.
    await checkStoreBinding(this.config.dataDir, this.config.store.kind);
    this.#server.mount({
      metrics: metricsHandler(this.#metrics),
      live: healthHandler([]),
      ready: healthHandler(this.#readinessChecks()),
    });
    const url = await this.#server.start();
    this.#phase = "recovering";
    await this.#recover();
    this.#stopSampling = this.#sampleLoopLag();
    this.#phase = "serving";
    const { store, cache, dataDir, ack } = this.config;
    this.#log.info(`dsproxy ${VERSION} listening on ${url}`, {
      store: store.kind,
      cache: cache.kind,
      dataDir,
      ack,
    });
    return url;
  }

  async stop(): Promise<void> {
    this.#phase = "draining";
    const { shutdownGraceMs } = this.config;
    this.#log.info("Shutting down: finishing requests, then flushing", {
      graceMs: shutdownGraceMs,
    });
    const grace = AbortSignal.timeout(Math.max(shutdownGraceMs / 2, shutdownGraceMs - CLOSING_MS));
    // Who asks whether it is ready is told no, before anybody is turned away.
    await new Promise((resolve) =>
      setTimeout(resolve, Math.min(LAME_DUCK_MS, shutdownGraceMs / 10))
    );
    // An idle connection can keep the server from ever being done, so it gets no more than the
    // grace time.
    let serverDone = false;
    const serverStopped = withDeadline(this.#server.stop(), shutdownGraceMs, "Open requests").catch(
      (error) => {
        this.#log.warn("Requests were still open at the end of the grace time", { error });
      },
    ).finally(() => serverDone = true);
    // Requests under way may wait for a flush, and new entries may come of them: drain until both
    // are at an end.
    let storeTakes = true;
    do {
      storeTakes = await (this.#batcher?.drain(grace) ?? true);
      await Promise.race([
        serverStopped,
        new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS)),
      ]);
    } while (!serverDone && storeTakes);
    // A flush that the store keeps waiting is cut off when its connections are closed; its rows are
    // in the journal.
    await withDeadline(this.#batcher?.stop() ?? Promise.resolve(), LAST_FLUSH_MS, "A flush").catch((
      error,
    ) => this.#log.warn("A flush was still under way at the end of the grace time", { error }));
    await serverStopped;
    if (storeTakes) await this.#batcher?.drain(grace);
    await this.#close();
  }

  async #recover(): Promise<void> {
    const { config, clock } = this;
    let recovered = 0;
    const { queue, writer, reader, batcher } = await openCore({
      journal: {
        ...config.journal,
        onRecovered: () => recovered++,
        observer: this.#journalObserver(),
      },
      batch: config.batch,
      store: this.#ports.store,
      cache: this.#cache,
      clock,
      metrics: this.#metrics,
      log: this.#log,
      random: Math.random,
      onLookUpRefused: () => this.#firstContact.start(),
    });
    this.#queue = queue;
    // The journal's lock says that the directory is this process's alone.
    await this.#server.openAdminSocket();
    const binding = this.#gate.binding = await openStoreBinding(config.dataDir, config.store.kind);
    await this.#gate.check(() =>
      withDeadline(this.#ports.store.ping(), WRONG_STORE_LIMIT_MS, "The store")
    );
    if (recovered > 0) {
      this.#log.info("Recovered entries that the store may not have yet", { entries: recovered });
    }
    this.#server.mount({
      write: writeHandler({
        writer,
        limits: config.limits,
        defaultAck: config.ack,
        clock,
        metrics: this.#metrics,
      }),
      writeStatus: writeStatusHandler({
        intake: stagesOf(queue),
        marks: this.#ports.store,
        deadLetters: this.#ports.deadLetters,
      }),
      ...deadLetterHandlers(this.#ports.deadLetters, this.#cache),
      read: readHandler({ reader, keyBytes: config.limits.keyBytes, metrics: this.#metrics }),
    });
    this.#batcher = batcher;
    if (config.cache.kind !== "memory") this.#namespace.start(binding.lastKnown);
    this.#firstContact.start();
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
      {
        name: "journal",
        failure: () => {
          const { failure, lackOfRoom } = this.#queue?.stats() ?? {};
          return failure ?? lackOfRoom;
        },
      },
      { name: "store", failure: () => this.#batcher?.refusal ?? this.#firstContact.refusal },
    ];
  }

  #journalObserver(): JournalObserver {
    return {
      onFsync: (durationMs) => this.#metrics.fsyncDuration.observe(durationMs / 1000),
      onDamage: (damage) => {
        this.#metrics.journalDamage.inc({ kind: damage.kind }, 1);
        this.#log.error("The journal has a damaged stretch; what could be read around it is kept", {
          ...damage,
        });
      },
      onFault: limitRate(
        FAULT_LOG_INTERVAL_MS,
        (suppressed, reason) => this.#log.warn(String(reason), { suppressed }),
      ),
      onFailed: (reason) => this.#log.error("No write is accepted any more", { reason }),
      onOpened: (lastAcceptedMs) => this.#clockWatch.start(lastAcceptedMs),
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
    this.#namespace.stop();
    this.#firstContact.stop();
    this.#clockWatch.stop();
    const { depth: left, failure } = this.#queue?.stats() ?? { depth: 0, failure: undefined };
    if (failure !== undefined && left > 0) {
      this.#log.error("Accepted writes did not reach the store, and the journal has failed", {
        writes: left,
        failure,
      });
    }
    await this.#noteGeneration();
    await this.#queue?.close(this.#cache.current);
    await this.#cache.close();
    await this.#ports.store.close();
    this.#log.info("Stopped", { leftInJournal: left });
  }
  /**
   * For a start while the store is away. Without it copies are not believed then: that is no reason
   * not to stop in order.
   */
  async #noteGeneration(): Promise<void> {
    const { known } = this.#namespace;
    if (known === undefined) return;
    await this.#gate.binding?.noteCacheGeneration(known.cacheGeneration).catch((error) =>
      this.#log.warn("The data directory does not take the last cache generation", { error })
    );
  }
}

/** The stages of writes as a queue knows them; an `Intake` says this by itself. */
function stagesOf(queue: Pick<Queue, "stats">): Pick<Intake, "stageOf"> {
  return {
    stageOf: (run, seq) => {
      const { instance, ackedSeq, lastSeq } = queue.stats();
      if (run !== instance || seq > lastSeq) return "unknown";
      return seq > ackedSeq ? "durable" : "settled";
    },
  };
}
