/**
 * This is the composition root: it makes the parts that the configuration asks for, and the service
 * that lives by them.
 */
import { type Caching, makeCaching } from "./caching.ts";
import { AuditFindings } from "./cluster/audit_findings.ts";
import { Auditor } from "./cluster/auditor.ts";
import type { Leadership } from "./cluster/leadership.ts";
import type { Config } from "./config/config.ts";
import { withDeadline } from "./deadline.ts";
import { DeliveryWay } from "./delivery_way.ts";
import { denoFileSystem, type JournalFileSystem } from "./disk/file_system.ts";
import { type Breakers, makeBreakers } from "./guarding/breakers.ts";
import { checkStoreBinding, openStoreBinding } from "./guarding/store_binding.ts";
import { HttpFront } from "./http_front.ts";
import { makeLeadership } from "./leading.ts";
import { openJournal } from "./journal/journal.ts";
import { journalObserver } from "./journal_observer.ts";
import { PauseSwitch } from "./pause_switch.ts";
import { type Broker, loadBroker, loadStore } from "./parts.ts";
import { type Clock, systemClock } from "./ports/clock.ts";
import type { IntakeListener } from "./ports/intake.ts";
import { openCacheNote } from "./reading/cache_note.ts";
import type { Asked } from "./readiness.ts";
import { Service } from "./service.ts";
import { serviceGauges } from "./service_gauges.ts";
import type { JournalPorts } from "./service_parts.ts";
import { Steering } from "./steering.ts";
import { makeStoring, type Storing } from "./storing.ts";
import { peersOf } from "./traced_peers.ts";
import { loadTracing } from "./telemetry/load_tracing.ts";
import { ClockWatch } from "./telemetry/clock_watch.ts";
import { Log } from "./telemetry/log.ts";
import { LoopLag } from "./telemetry/loop_lag.ts";
import { Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/tracing.ts";
import { VERSION } from "./version.ts";
import { makeDashboard } from "./watching.ts";
import { WorkerService } from "./worker_service.ts";

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
  readonly #breakers: Breakers;
  readonly #tracing: Tracing;
  readonly #storing: Storing;
  readonly #caching: Caching;
  readonly #audit: { readonly findings: AuditFindings; readonly auditor: Auditor } | undefined;
  readonly #front: HttpFront;
  readonly #clockWatch: ClockWatch;
  readonly #way: DeliveryWay;
  readonly #pausing = new PauseSwitch();
  readonly #leadership: Leadership;
  readonly #steering: Steering;
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
    this.#breakers = makeBreakers(this.#log, clock);
    this.#metrics = this.#makeMetrics();
    this.#tracing = makeTracing({ clock, metrics: this.#metrics, log: this.#log });
    const seen = { clock, metrics: this.#metrics, log: this.#log };
    this.#storing = makeStoring(config, { makeStore, breakers: this.#breakers, ...seen });
    const { store, firstContact } = this.#storing;
    this.#clockWatch = new ClockWatch({ clock, log: this.#log, steps: this.#metrics.clockSteps });
    const breaker = this.#breakers.cache;
    this.#caching = makeCaching(config, { identity: store.identity, breaker, ...seen });
    const { cache, namespace } = this.#caching;
    const [metrics, log, tracing] = [this.#metrics, this.#log, this.#tracing];
    const pausing = this.#pausing;
    const steering = this.#steering = new Steering({
      pausing,
      service: () => this.#service,
      clock,
      metrics,
    });
    if (store.audit !== undefined) {
      const findings = new AuditFindings({ metrics, log });
      this.#audit = { findings, auditor: new Auditor(store.audit, clock, findings) };
    }
    const identity = async () => namespace.known?.id ?? (await store.identity.identify()).id;
    const [service, leadership] = [() => this.#service, () => this.#leadership];
    const breakers = this.#breakers;
    const dashboard = makeDashboard(config, {
      ...{ service, leadership, breakers, pausing, store, identity, clock, metrics, log },
      ...{ firstContact, name: () => this.#name },
      steering: () => steering,
    });
    this.#front = new HttpFront(config, {
      ...{ dashboard, store, cache, steering, clock, metrics, log, tracing },
      auditor: this.#audit?.auditor,
      asked: () => this.#asked(),
    });
    this.#leadership = makeLeadership(config, {
      ...{ store, cache, audit: this.#audit, ...surroundings, metrics, log, tracing },
      identity,
      name: () => this.#name,
      instance: () => this.#service instanceof Service ? this.#service.status?.instance : "",
    });
    this.#way = new DeliveryWay(config, {
      ...{ broker, store, pausing, ...surroundings, metrics, log, tracing },
      storeIdentity: () => this.#storing.gate.expected,
    });
    this.#service = config.role === "worker" ? this.#makeWorker() : this.#makeService();
  }

  async start(): Promise<string> {
    const url = await this.#service.start();
    const { role, store, cache, queue, dataDir, ack } = this.config;
    this.#log.info(`dsproxy ${VERSION} listening on ${url}`, {
      event: "started",
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

  #makeService(): Service {
    const { config } = this;
    const { clock } = this.surroundings;
    const [metrics, log, store] = [this.#metrics, this.#log, this.#storing.store.store];
    const { cache, namespace, lastKnown, load } = this.#caching;
    return new Service({
      front: this.#front,
      openJournal: (listener) => this.#openJournal(listener),
      openCacheNote: () =>
        openCacheNote(this.surroundings.fs, config.dataDir, this.#lastAcceptedMs === 0),
      store,
      makeSink: (run) => this.#way.makeSink(run),
      openForwarding: (journal) => this.#way.openForwarding(journal),
      cache,
      // Copies that are kept in this process alone are nobody else's concern, so nobody is told of
      // them.
      ...(config.cache.kind !== "memory" && { namespace }),
      lastKnown,
      batch: this.#way.batch,
      graceMs: config.shutdownGraceMs,
      pausing: this.#pausing,
      ...{ clock, metrics, log, tracing: this.#tracing },
      random: Math.random,
      attendants: [
        this.#storing.firstContact,
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
      onStoreRefuses: () => this.#storing.firstContact.start(),
      observe: (event) => event === "journal open" && load(),
    });
  }

  #makeWorker(): WorkerService {
    const { clock } = this.surroundings;
    const { applier, attendants } = this.#way;
    if (applier === undefined) throw new Error("A worker needs a broker");
    return new WorkerService({
      front: this.#front,
      store: this.#storing.store.store,
      cache: this.#caching.cache,
      applier,
      attendants: [
        this.#storing.firstContact,
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
    this.#storing.gate.binding = await openStoreBinding(dataDir, store.kind);
    await this.#storing.gate.check(() =>
      withDeadline(this.#storing.store.store.ping(), WRONG_STORE_LIMIT_MS, "The store")
    );
    const left = this.#service.status?.depth ?? 0;
    if (left > 0) {
      this.#log.info("Recovered entries that the store may not have yet", {
        event: "recovered",
        entries: left,
      });
    }
  }

  #makeMetrics(): Metrics {
    const { config, surroundings: { clock } } = this;
    return new Metrics(
      serviceGauges(config, {
        clock,
        breakers: this.#breakers,
        asked: () => this.#asked(),
        deadLetters: () => this.#storing.store.deadLetters.count(),
        leads: () => this.#leadership.leads,
      }),
      clock.now(),
    );
  }

  #asked(): Asked {
    return {
      service: this.#service,
      firstContact: this.#storing.firstContact,
      steering: this.#steering,
      leadership: this.config.role === "worker" ? STANDS_ASIDE : this.#leadership,
    };
  }
}
