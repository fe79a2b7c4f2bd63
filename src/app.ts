/**
 * This is the composition root: it makes the parts that the configuration asks for, and the service
 * that lives by them.
 */
import { AuditFindings } from "./cluster/audit_findings.ts";
import { Auditor } from "./cluster/auditor.ts";
import type { Leadership } from "./cluster/leadership.ts";
import { boundFlushes } from "./cluster/flush_bound.ts";
import { type Config, storePlace } from "./config/config.ts";
import { withDeadline } from "./deadline.ts";
import { DeliveryWay } from "./delivery_way.ts";
import { denoFileSystem, type JournalFileSystem } from "./disk/file_system.ts";
import { Breaker } from "./guarding/breaker.ts";
import { cacheFaults } from "./guarding/cache_faults.ts";
import { FirstContact } from "./guarding/first_contact.ts";
import { GuardedCache } from "./guarding/guarded_cache.ts";
import { guardStore } from "./guarding/guarded_store.ts";
import { checkStoreBinding, openStoreBinding } from "./guarding/store_binding.ts";
import { StoreFaults } from "./guarding/store_faults.ts";
import { StoreGate } from "./guarding/store_gate.ts";
import { HttpFront } from "./http_front.ts";
import { makeLeadership } from "./leading.ts";
import { openJournal } from "./journal/journal.ts";
import { journalObserver } from "./journal_observer.ts";
import { type Broker, createCache, createFlushSlots, loadBroker, loadStore } from "./parts.ts";
import type { Cache } from "./ports/cache.ts";
import { type Clock, systemClock } from "./ports/clock.ts";
import type { IntakeListener } from "./ports/intake.ts";
import type { StorePorts } from "./ports/store.ts";
import { CacheClient } from "./reading/cache_client.ts";
import { CacheNamespace } from "./reading/cache_namespace.ts";
import { openCacheNote } from "./reading/cache_note.ts";
import { LastKnown } from "./reading/last_known.ts";
import { Service } from "./service.ts";
import type { JournalPorts } from "./service_parts.ts";
import { peersOf } from "./traced_peers.ts";
import { loadTracing } from "./telemetry/load_tracing.ts";
import { ClockWatch } from "./telemetry/clock_watch.ts";
import { Log } from "./telemetry/log.ts";
import { LoopLag } from "./telemetry/loop_lag.ts";
import { Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/tracing.ts";
import { VERSION } from "./version.ts";
import { WorkerService } from "./worker_service.ts";

/** A scrape must not wait for a store that is away. */
const SCRAPE_LIMIT_MS = 500;
/** A start waits for so long to find out that the store is not the one that is meant. */
const WRONG_STORE_LIMIT_MS = 4_000;

/**
 * It stands where else it says who leads. All that may lead ask the same for the lease, and reach
 * the same copies. A worker need not have the Redis that API servers have.
 */
const STANDS_ASIDE = { description: "one of the API servers" };

interface App {
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

/** The world outside offers these, which can be replaced, so that tests decide what it does. */
export interface Surroundings {
  readonly clock: Clock;
  readonly fs: JournalFileSystem;
  /**
   * A segment of the journal is completed at this size, in bytes; the journal's own choice is the
   * default.
   */
  readonly segmentBytes?: number;
}

export async function createApp(
  config: Config,
  surroundings: Partial<Surroundings> = {},
): Promise<App> {
  const replaced = { clock: systemClock, fs: denoFileSystem, ...surroundings };
  return new Application(
    config,
    replaced,
    await loadStore(config),
    await loadBroker(config),
    await loadTracing(config.tracing, peersOf(config)),
  );
}

class Application implements App {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #tracing: Tracing;
  readonly #breakers: Readonly<Record<"store" | "store-reads" | "cache", Breaker>>;
  readonly #store: StorePorts;
  readonly #cache: CacheClient;
  readonly #unguardedCache: Cache;
  readonly #audit: { readonly findings: AuditFindings; readonly auditor: Auditor } | undefined;
  readonly #front: HttpFront;
  readonly #clockWatch: ClockWatch;
  readonly #gate: StoreGate;
  readonly #firstContact: FirstContact;
  readonly #way: DeliveryWay;
  readonly #leadership: Leadership;
  /** It names this start, and is the run of its journal where it has one. */
  #name = `worker/${crypto.randomUUID().slice(0, 12)}`;
  readonly #service: Service | WorkerService;
  /**
   * The last write that the journal knew of when it was opened was accepted then, in Unix
   * milliseconds; 0 means that it knew of none.
   */
  #lastAcceptedMs = 0;

  constructor(
    private readonly config: Config,
    private readonly surroundings: Surroundings,
    makeStore: Awaited<ReturnType<typeof loadStore>>,
    broker: Broker | undefined,
    makeTracing: Awaited<ReturnType<typeof loadTracing>>,
  ) {
    const { clock } = surroundings;
    this.#log = new Log(config.log.level, config.log.format);
    this.#breakers = {
      "store": new Breaker("The store", clock),
      "store-reads": new Breaker("The store", clock),
      "cache": new Breaker("The cache", clock),
    };
    this.#metrics = this.#makeMetrics();
    this.#tracing = makeTracing({ clock, metrics: this.#metrics, log: this.#log });
    this.#gate = new StoreGate(storePlace(config.store), this.#log);
    const unguarded = makeStore({
      // A worker has no directory that could belong to another store.
      ...(config.role !== "worker" && { gate: this.#gate }),
      onIndexFault: (error) =>
        this.#log.warn("The index for reads could not be made; it is tried again", { error }),
    });
    this.#store = this.#bound(guardStore(
      unguarded,
      { store: this.#breakers.store, reads: this.#breakers["store-reads"] },
      new StoreFaults(this.#metrics, this.#log, clock).note,
    ));
    this.#firstContact = new FirstContact(unguarded.store, clock, this.#log);
    this.#clockWatch = new ClockWatch({ clock, log: this.#log, steps: this.#metrics.clockSteps });
    const namespace = new CacheNamespace(this.#store.identity, clock);
    const lastKnown = new LastKnown(config.cache.ttlMs, clock);
    const onFault = cacheFaults(this.#metrics, this.#log, clock);
    this.#unguardedCache = createCache(config, {
      namespace: () => namespace.text,
      onFault,
      onNotice: (message) => this.#log.warn(message),
    }, clock);
    this.#cache = new CacheClient({
      cache: new GuardedCache(this.#unguardedCache, this.#breakers.cache),
      ttlMs: config.cache.ttlMs,
      clock,
      onFault,
      ...(config.cache.kind !== "memory" && { sharing: namespace }),
      onForget: (userId) => lastKnown.forget(userId),
    });
    const [metrics, log, store] = [this.#metrics, this.#log, this.#store];
    const tracing = this.#tracing;
    if (store.audit !== undefined) {
      const findings = new AuditFindings({ metrics, log });
      this.#audit = { findings, auditor: new Auditor(store.audit, clock, findings) };
    }
    this.#front = new HttpFront(config, {
      ...{ store, cache: this.#cache, clock, metrics, log, tracing },
      auditor: this.#audit?.auditor,
      asked: () => ({
        service: this.#service,
        firstContact: this.#firstContact,
        leadership: config.role === "worker" ? STANDS_ASIDE : this.#leadership,
      }),
    });
    this.#leadership = makeLeadership(config, {
      ...{ store, cache: this.#cache, audit: this.#audit, ...surroundings, metrics, log, tracing },
      identity: async () => namespace.known?.id ?? (await store.identity.identify()).id,
      name: () => this.#name,
      instance: () => this.#service instanceof Service ? this.#service.status?.instance : "",
    });
    this.#way = new DeliveryWay(config, {
      ...{ broker, store, ...surroundings, metrics, log, tracing },
      storeIdentity: () => this.#gate.expected,
    });
    this.#service = config.role === "worker"
      ? this.#makeWorker()
      : this.#makeService(namespace, lastKnown);
  }

  async start(): Promise<string> {
    const url = await this.#service.start();
    const { role, store, cache, queue, dataDir, ack } = this.config;
    this.#log.info(`dsproxy ${VERSION} listening on ${url}`, {
      role,
      store: store.kind,
      cache: cache.kind,
      queue: queue.kind,
      ...(role !== "worker" && { dataDir, ack }),
    });
    return url;
  }

  stop(): Promise<void> {
    return this.#service.stop();
  }

  #bound(store: StorePorts): StorePorts {
    const { clock } = this.surroundings;
    const [metrics, log] = [this.#metrics, this.#log];
    const slots = createFlushSlots(this.config, clock, { metrics, log });
    return boundFlushes(store, { slots, clock, metrics });
  }

  #makeService(namespace: CacheNamespace, lastKnown: LastKnown): Service {
    const { config } = this;
    const { clock } = this.surroundings;
    const [metrics, log, store] = [this.#metrics, this.#log, this.#store.store];
    return new Service({
      front: this.#front,
      openJournal: (listener) => this.#openJournal(listener),
      openCacheNote: () =>
        openCacheNote(this.surroundings.fs, config.dataDir, this.#lastAcceptedMs === 0),
      store,
      makeSink: (run) => this.#way.makeSink(run),
      openForwarding: (journal) => this.#way.openForwarding(journal),
      cache: this.#cache,
      // Copies that are kept in this process alone are nobody else's concern, so nobody is told of
      // them.
      ...(config.cache.kind !== "memory" && { namespace }),
      lastKnown,
      batch: this.#way.batch,
      graceMs: config.shutdownGraceMs,
      ...{ clock, metrics, log, tracing: this.#tracing },
      random: Math.random,
      attendants: [
        this.#firstContact,
        new LoopLag(clock, metrics),
        {
          start: () => this.#clockWatch.start(this.#lastAcceptedMs),
          stop: () => this.#clockWatch.stop(),
        },
        ...this.#way.attendants,
        this.#leadership,
        this.#tracing,
      ],
      // This comes before anybody is served, because what waits in the directory must not go to
      // another store.
      checkPlace: async () => {
        await checkStoreBinding(config.dataDir, config.store.kind);
      },
      admitStore: () => this.#admitStore(),
      onStoreRefuses: () => this.#firstContact.start(),
      observe: (event) => event === "journal open" && this.#loadCache(),
    });
  }

  #makeWorker(): WorkerService {
    const { clock } = this.surroundings;
    const { applier, attendants } = this.#way;
    if (applier === undefined) throw new Error("A worker needs a broker");
    return new WorkerService({
      front: this.#front,
      store: this.#store.store,
      cache: this.#cache,
      applier,
      attendants: [
        this.#firstContact,
        new LoopLag(clock, this.#metrics),
        ...attendants,
        this.#tracing,
      ],
      log: this.#log,
    });
  }

  async #openJournal(listener: IntakeListener): Promise<JournalPorts> {
    const { clock, fs, segmentBytes } = this.surroundings;
    const journal = await openJournal({
      ...this.config.journal,
      ...(segmentBytes !== undefined && { segmentBytes }),
      fs,
      listener,
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
      setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
      setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
      observer: {
        ...journalObserver(this.#metrics, this.#log, clock),
        onOpened: (lastAcceptedMs) => this.#lastAcceptedMs = lastAcceptedMs,
      },
    });
    this.#name = `${journal.status().instance}/${journal.run}`;
    return journal;
  }

  async #admitStore(): Promise<void> {
    const { dataDir, store } = this.config;
    this.#gate.binding = await openStoreBinding(dataDir, store.kind);
    await this.#gate.check(() =>
      withDeadline(this.#store.store.ping(), WRONG_STORE_LIMIT_MS, "The store")
    );
    const left = this.#service.status?.depth ?? 0;
    if (left > 0) {
      this.#log.info("Recovered entries that the store may not have yet", { entries: left });
    }
  }

  #makeMetrics(): Metrics {
    const { clock } = this.surroundings;
    return new Metrics({
      queueDepth: () => this.#service.status?.depth ?? 0,
      queueOldestAgeSeconds: () => {
        const oldestMs = this.#service.status?.oldestAcceptedMs;
        return oldestMs === undefined ? 0 : Math.max(0, clock.now() - oldestMs) / 1000;
      },
      journalBytes: () => this.#service.status?.bytes ?? 0,
      journalRetainedBytes: () => this.#service.status?.retainedBytes ?? 0,
      leads: () => this.#leadership.leads,
      deadLetters: async () => {
        const { phase } = this.#service;
        if (phase === "starting" || phase === "recovering") {
          throw new Error("The store is not asked yet");
        }
        return await withDeadline(this.#store.deadLetters.count(), SCRAPE_LIMIT_MS, "The store");
      },
      breakers: this.#breakers,
    }, clock.now());
  }

  /**
   * Loads the cache while the store is waited for, when whoever asks whether this lives has an
   * answer already. What goes wrong is told as any fault of the cache.
   */
  #loadCache(): void {
    this.#unguardedCache.token().catch(() => {});
  }
}
