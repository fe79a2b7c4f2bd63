/** One run of the program: the real service on a simulated disk, clock, store, cache and front. */
import { DeliveryWay } from "../../src/delivery_way.ts";
import type { JournalFileSystem } from "../../src/disk/file_system.ts";
import { compareVersions, type Entry } from "../../src/domain.ts";
import { Breaker } from "../../src/guarding/breaker.ts";
import { GuardedCache } from "../../src/guarding/guarded_cache.ts";
import { guardStore } from "../../src/guarding/guarded_store.ts";
import { openJournal } from "../../src/journal/journal.ts";
import { PauseSwitch } from "../../src/pause_switch.ts";
import type { IntakeListener } from "../../src/ports/intake.ts";
import type { Sink } from "../../src/ports/sink.ts";
import type { StorePorts } from "../../src/ports/store.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import type { CacheSharing } from "../../src/reading/cache_sharing.ts";
import { CacheNamespace } from "../../src/reading/cache_namespace.ts";
import { openCacheNote } from "../../src/reading/cache_note.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { Service } from "../../src/service.ts";
import type { Doors, Front, JournalPorts } from "../../src/service_parts.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "../support/fakes.ts";
import type { SimulatedBroker } from "./broker.ts";
import { type Bug, buggyCache, buggyDisk, buggyStore } from "./bugs.ts";
import { cacheNameOf, type SimulatedCache } from "./cache.ts";
import type { SimulatedDisk } from "./disk.ts";
import { buggyEnds, buggyForwarding, buggyGroups, buggyGroupStore } from "./group_bugs.ts";
import type { Layout } from "./layout.ts";
import type { Model } from "./model.ts";
import type { SimulatedStore } from "./store.ts";
import { WatchedJournal } from "./watched_journal.ts";
import { WatchedSink } from "./watched_sink.ts";
import { type Process, SimulatedClock, type World } from "./world.ts";

export interface ProgramParts {
  readonly world: World;
  readonly model: Model;
  readonly disk: SimulatedDisk;
  readonly store: SimulatedStore;
  readonly cache: SimulatedCache;
  readonly broker: SimulatedBroker | undefined;
  readonly layout: Layout;
  /** It runs on this one. */
  readonly machine: number;
  readonly bug: Bug | undefined;
}

interface Start {
  readonly wallOffsetMs: () => number;
  /** It is configured with the broker, if there is one. */
  readonly usesBroker: boolean;
}

/** Small, so that every limit is met within a few seconds of simulated time. */
export interface Settings {
  readonly journalBytes: number;
  readonly segmentBytes: number;
  /** How long settled segments are kept. */
  readonly retainMs: number;
  readonly batchSize: number;
  readonly batchMax: number;
  readonly batchIntervalMs: number;
  readonly pendingBytes: number;
  readonly cacheTtlMs: number;
  /** Answers are remembered; else so many others were given that none of them is. */
  readonly remembersAnswers: boolean;
}

const DATA_DIR = "/data";
const DIR = `${DATA_DIR}/journal`;
const GRACE_MS = 5_000;
const FORGETS_MS = 1;
const NOTICED_MS = 1_000;

const log = new Log("error", "json", () => {});
// One for all runs: to make one takes longer than most runs.
const metrics = idleMetrics();

export class Program {
  readonly service: Service;
  readonly pausing = new PauseSwitch();
  /** Of look-ups. */
  readonly breaker: Breaker;
  /** When it was last not closed. */
  breakerMs = -Infinity;
  /** Undefined while requests are turned away. */
  doors: Doors | undefined;
  /** Under way. */
  requests = 0;
  /** Something was settled, and was to be sent again. */
  hasRewound = false;
  /** Each source through this number, by this run. */
  readonly #settled = new Map<string, number>();
  readonly #clock: SimulatedClock;
  readonly #fs: JournalFileSystem;
  /** The journal has never held an entry. */
  #isFresh = false;

  constructor(
    readonly process: Process,
    private readonly parts: ProgramParts,
    private readonly settings: Settings,
    private readonly start: Start,
  ) {
    const { world, disk, bug } = parts;
    this.#clock = new SimulatedClock(world, process, start.wallOffsetMs);
    this.#fs = buggyDisk(disk.mount(process), bug);
    this.breaker = new Breaker("Reads of the store", this.#clock);
    this.service = this.#makeService();
  }

  #makeService(): Service {
    const { pendingBytes, cacheTtlMs, remembersAnswers } = this.settings;
    const clock = this.#clock;
    const ports = this.#storePorts();
    const way = this.#makeWay(ports);
    const namespace = new CacheNamespace(ports.identity, clock);
    const lastKnown = new LastKnown(remembersAnswers ? cacheTtlMs : FORGETS_MS, clock);
    return new Service({
      front: this.#front(),
      openJournal: (listener) => this.#openJournal(listener),
      openCacheNote: () => openCacheNote(this.#fs, DATA_DIR, this.#isFresh),
      store: ports.store,
      makeSink: (run) => this.#watchedSink(way.makeSink(run)),
      openForwarding: async (journal) =>
        buggyForwarding(await way.openForwarding(journal), journal, this.parts),
      cache: this.#makeCache(namespace, lastKnown),
      namespace,
      lastKnown,
      batch: this.#batchOf(way),
      pendingBytes,
      graceMs: GRACE_MS,
      pausing: this.pausing,
      ...{ clock, metrics, log },
      random: this.parts.world.random.next,
      attendants: way.attendants,
    });
  }

  #storePorts(): StorePorts {
    const { store: server, bug } = this.parts;
    const client = server.client(this.process);
    return guardStore(
      {
        ...client,
        store: buggyStore(client.store, server, bug),
        ...(client.groups && { groups: buggyGroupStore(client.groups, server, bug) }),
      },
      { store: new Breaker("The store", this.#clock), reads: this.breaker },
      () => {},
    );
  }

  #makeWay(store: StorePorts): DeliveryWay {
    const { world, broker, layout, bug } = this.parts;
    const ends = this.start.usesBroker ? broker?.ends(this.process) : undefined;
    const { batchSize, batchMax } = this.settings;
    const { batchIntervalMs } = layout.broker ?? this.settings;
    return new DeliveryWay({
      role: layout.broker?.workers === 0 ? "all" : "api",
      batch: { size: batchSize, intervalMs: batchIntervalMs, max: batchMax },
      dataDir: DATA_DIR,
    }, {
      broker: ends && buggyEnds(ends, bug),
      store,
      storeIdentity: () => this.parts.store.identity.id,
      fs: this.#fs,
      clock: this.#clock,
      pausing: this.pausing,
      random: world.random.next,
      ...{ metrics, log },
    });
  }

  #batchOf({ batch }: DeliveryWay): DeliveryWay["batch"] {
    const { broker } = this.parts.layout;
    if (broker === undefined || !this.start.usesBroker) return batch;
    return { ...batch, max: Math.min(batch.max, broker.settledMax) };
  }

  #makeCache(namespace: CacheNamespace, lastKnown: LastKnown): CacheClient {
    const { cache: server, bug } = this.parts;
    const clock = this.#clock;
    const cache = server.client(this.process, {
      namespace: () => namespace.text,
      clock,
      keepsCopiesOfUpdated: bug === "local-copy-kept",
      renewsNoFence: bug === "fence-not-renewed",
    });
    const release = (entries: readonly Entry[]) => {
      for (const entry of entries) this.doors?.intake.pending.settle([entry], entry.seq);
    };
    return new CacheClient({
      cache: new GuardedCache(
        buggyCache(cache, bug, release),
        new Breaker("The cache", clock, { countsCauses: true }),
      ),
      ttlMs: this.settings.cacheTtlMs,
      clock,
      onFault: () => {},
      sharing: bug === "cache-failure-untold" ? untold(namespace) : namespace,
      onForget: (userId) => lastKnown.forget(userId),
    });
  }

  #front(): Front {
    return {
      listen: () => Promise.resolve("simulated"),
      open: (doors) => Promise.resolve(void (this.doors = doors)),
      close: async () => {
        this.doors = undefined;
        while (this.requests > 0) await this.parts.world.delay(20, "requests finish");
      },
    };
  }

  async #openJournal(listener: IntakeListener): Promise<JournalPorts> {
    const { world, model, disk, machine, bug } = this.parts;
    const { settings, process } = this;
    const clock = this.#clock;
    const recovered: Entry[] = [];
    const journal = await openJournal({
      dir: DIR,
      retainMs: bug === "settled-segment-not-kept" ? 0 : settings.retainMs,
      maxBytes: settings.journalBytes,
      segmentBytes: settings.segmentBytes,
      fs: this.#fs,
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
      setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
      setTimeout: (callback, delayMs) => clock.setTimeout(callback, delayMs),
      observer: {
        onDamage: ({ kind, segment, offset }) => {
          if (kind === "torn-tail") return world.trace(`torn tail of ${segment} at ${offset}`);
          if (offset < disk.wholeBytes(`${DIR}/${segment}`)) {
            model.damageReported(`${segment} at ${offset}`);
          }
        },
        onOpened: (lastAcceptedMs) => this.#isFresh = lastAcceptedMs === 0,
      },
      listener: {
        durable: (entries) => listener.durable(entries),
        withdrawn: (entries) => listener.withdrawn(entries),
        unsettled: (entry) => {
          recovered.push(entry);
          if (process.alive) model.unsettled(entry);
          listener.unsettled(entry);
        },
      },
    });
    if (process.alive) model.recovered(machine, recovered);
    return this.#watched(journal);
  }

  #watchedSink(sink: Sink): WatchedSink {
    return new WatchedSink(
      sink,
      (source) => this.#settled.get(source) ?? 0,
      () => this.parts.world.fault("sent ahead"),
      this.parts.bug === "sent-ahead-taken-for-stored",
    );
  }

  #watched(journal: JournalPorts): WatchedJournal {
    const { world, model, bug } = this.parts;
    return new WatchedJournal(journal, {
      groups: (source) => buggyGroups(source, world.random, bug),
      settling: (batch) => {
        if (!this.process.alive) return;
        model.settled(batch);
        this.#settled.set(batch.source, batch.lastSeq);
        this.#checkSharedCopies();
      },
      rewound: (source, seq, { entries, missingThrough }) => {
        if (!this.process.alive) return;
        this.hasRewound = true;
        this.#settled.set(source, seq);
        if (entries > 0) world.fault("sent again");
        if (missingThrough !== undefined) model.notKept(source, seq, missingThrough);
      },
    });
  }

  /**
   * Another instance, which knows what the store says of the cache, must not read what is older
   * than what was settled.
   */
  #checkSharedCopies(): void {
    const { model, store, cache, world } = this.parts;
    // A generation that was ended, and that the store names again, is ended anew within a second.
    if (world.nowMs - store.wentBackMs < NOTICED_MS) return;
    const name = cacheNameOf(store.identity);
    for (const userId of model.users) {
      const copy = cache.complete(userId, name);
      const settled = model.settledEntry(userId);
      if (copy === undefined || settled === undefined || compareVersions(copy, settled) >= 0) {
        continue;
      }
      world.violated(`another instance would read an outdated copy of ${userId} from the cache`);
    }
  }
}

/** A planted bug: the others are not told. */
function untold(namespace: CacheNamespace): CacheSharing {
  return {
    get text() {
      return namespace.text;
    },
    isSure: true,
    refresh: () => namespace.refresh(),
    outdate: () => Promise.resolve(),
  };
}
