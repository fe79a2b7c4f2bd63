/**
 * The machine that the program runs on: it boots, is stopped, killed, loses power; and what clients
 * do with it meanwhile.
 */
import { StoreSink } from "../../src/delivery/store_sink.ts";
import { type AckLevel, compareVersions, type Entry } from "../../src/domain.ts";
import { AppError, reasonOf } from "../../src/errors.ts";
import type { JournalFileSystem } from "../../src/disk/file_system.ts";
import { Breaker } from "../../src/guarding/breaker.ts";
import { GuardedCache } from "../../src/guarding/guarded_cache.ts";
import { guardStore } from "../../src/guarding/guarded_store.ts";
import { openJournal } from "../../src/journal/journal.ts";
import { HEADER_BYTES } from "../../src/journal/codec.ts";
import type { Intake, IntakeListener } from "../../src/ports/intake.ts";
import type { Source } from "../../src/ports/source.ts";
import { CacheClient, type CacheSharing } from "../../src/reading/cache_client.ts";
import { CacheNamespace } from "../../src/reading/cache_namespace.ts";
import { openCacheNote } from "../../src/reading/cache_note.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { type Doors, type Front, Service } from "../../src/service.ts";
import { Log } from "../../src/telemetry/log.ts";
import { idleMetrics } from "../support/fakes.ts";
import { type Bug, buggyCache, buggyDisk, buggyStore } from "./bugs.ts";
import type { SimulatedCache } from "./cache.ts";
import type { SimulatedDisk } from "./disk.ts";
import type { Model } from "./model.ts";
import type { SimulatedStore } from "./store.ts";
import { WatchedJournal } from "./watched_journal.ts";
import { type Process, SimulatedClock, type World } from "./world.ts";

export interface MachineParts {
  readonly world: World;
  readonly model: Model;
  readonly disk: SimulatedDisk;
  readonly store: SimulatedStore;
  readonly cache: SimulatedCache;
  readonly bug: Bug | undefined;
}

/** Of the program; small, so that every limit is met within a few seconds of simulated time. */
export interface Settings {
  readonly journalBytes: number;
  readonly segmentBytes: number;
  /** How long settled segments are kept. */
  readonly retainMs: number;
  readonly batchSize: number;
  readonly batchIntervalMs: number;
  readonly pendingBytes: number;
  readonly cacheTtlMs: number;
}

/** A run of the program. */
interface Running {
  readonly process: Process;
  readonly service: Service;
  /** Of look-ups. */
  readonly breaker: Breaker;
  /** When it was last not closed. */
  breakerMs: number;
  /** Undefined while requests are turned away. */
  doors: Doors | undefined;
  requests: number;
}

const DATA_DIR = "/data";
const DIR = `${DATA_DIR}/journal`;
const RESTART_MS = 200;
const GRACE_MS = 5_000;
const BATCH_MAX = 200;

const log = new Log("error", "json", () => {});
// One for all runs: to make one takes longer than most runs.
const metrics = idleMetrics();

/** A planted bug: the others are not told. */
function untold(namespace: CacheNamespace): CacheSharing {
  return {
    get text() {
      return namespace.text;
    },
    isSure: true,
    outdate: () => Promise.resolve(),
  };
}

export class Machine {
  /** Of the wall clock against the time of the world; set by whoever steps the clock. */
  wallOffsetMs = Date.UTC(2026, 0, 1);
  #process: Process = { alive: false };
  #running: Running | undefined;
  #stopping = false;
  #hasRewound = false;
  /** The journal has never held an entry. */
  #isFresh = false;

  constructor(private readonly parts: MachineParts, private readonly settings: Settings) {}

  /** Clients are served. */
  get up(): boolean {
    return this.#running?.doors !== undefined && !this.#stopping;
  }

  /** Nothing waits for the store. */
  get idle(): boolean {
    return this.up && this.#running!.service.status?.depth === 0;
  }

  /** Starts the program, again and again if need be. */
  boot(): void {
    const process = this.#process = { alive: true };
    const running = this.#make(process);
    void running.service.start().then(() => this.#running = running, (error) => {
      if (error instanceof AppError && !this.parts.model.diskLied) {
        this.parts.world.violated(`the program does not start: ${reasonOf(error)}`);
      }
      this.#end(process);
      this.parts.world.after(RESTART_MS, "boot", () => this.boot());
    });
  }

  /** Ends the program at once; it is started again a little later. */
  kill(fault: string, whileDown: () => void = () => {}): void {
    if (!this.#process.alive) return;
    this.parts.world.fault(fault);
    this.#end(this.#process);
    whileDown();
    this.parts.world.after(RESTART_MS, "boot", () => this.boot());
  }

  /** Ends the program in order, as SIGTERM does. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#stopping) return;
    const { world } = this.parts;
    this.#stopping = true;
    world.fault("stop");
    await running.service.stop().catch((error) =>
      world.violated(`the program does not stop in order: ${reasonOf(error)}`)
    );
    if (!running.process.alive) return;
    this.#end(running.process);
    world.after(RESTART_MS, "boot", () => this.boot());
  }

  /** Requests are turned away for a while; delivery goes on. */
  async restartIntake(afterMs: number): Promise<void> {
    const running = this.#running;
    if (running?.doors === undefined || this.#stopping) return;
    this.parts.world.fault("intake stopped");
    await running.service.stopIntake();
    await this.parts.world.delay(afterMs, "intake starts");
    if (this.#goesOn(running)) await running.service.startIntake();
  }

  /** Nothing is delivered for a while; requests are carried out. */
  async restartDelivery(afterMs: number): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#stopping || !running.service.delivers) return;
    this.parts.world.fault("delivery stopped");
    await running.service.stopDelivery();
    await this.parts.world.delay(afterMs, "delivery starts");
    if (this.#goesOn(running)) running.service.startDelivery();
  }

  /** False when it was refused, or when nobody was there to accept it. */
  async write(userId: string, value: string, ts: number, ack: AckLevel): Promise<boolean> {
    const running = this.#running;
    if (running?.doors === undefined) return false;
    const { model, world } = this.parts;
    const write = model.begin(userId, value, ts);
    world.trace(`${ack} write of ${userId}: ${value.split(":")[0]} at ${ts}`);
    running.requests++;
    try {
      model.accepted(write, await running.doors.intake.write({ userId, value, ts }, ack));
      return true;
    } catch (error) {
      if (!(error instanceof AppError)) {
        world.violated(`a write failed on a defect: ${reasonOf(error)}`);
        return false;
      }
      world.fault(`write refused: ${error.code}`);
      model.refused(write, error.code);
      return false;
    } finally {
      running.requests--;
    }
  }

  async read(userId: string): Promise<void> {
    const running = this.#running;
    if (running?.doors === undefined) return;
    const { reader, journal } = running.doors;
    const { model, world, store, disk } = this.parts;
    const floor = model.floor(userId);
    // What the journal let go of may be out of reach while the store is.
    const floorWithoutStore = model.floor(userId, ({ run, seq }) => {
      const stage = journal.stageOf(run, seq);
      return stage === "durable" || stage === "accepted";
    });
    const startedMs = world.nowMs;
    world.trace(`read of ${userId}, expecting ${floor?.value.split(":")[0] ?? "anything"}`);
    const readsFail = disk.faults.failedReads > 0;
    running.requests++;
    if (running.breaker.state !== 0) running.breakerMs = startedMs;
    const storeAway = () =>
      Math.max(store.lastFaultMs, running.breakerMs) >= startedMs || store.faults.blackHole;
    try {
      const found = await reader.read(userId);
      model.wasRead(userId, storeAway() ? floorWithoutStore : floor, found?.entry, startedMs);
    } catch (error) {
      if (error instanceof AppError && error.code === "store-unavailable" && storeAway()) {
        return world.fault("read refused: store-unavailable");
      }
      // A value that is held on disk only, which cannot be read.
      if (readsFail || disk.faults.failedReads > 0) return world.fault("read refused: disk");
      world.violated(`a read failed: ${reasonOf(error)}`);
    } finally {
      running.requests--;
    }
  }

  /** What has to hold at every moment. */
  check(): void {
    const running = this.#running;
    const status = running?.service.status;
    if (running === undefined || status === undefined) return;
    if (running.breaker.state !== 0) running.breakerMs = this.parts.world.nowMs;
    const { world } = this.parts;
    const { journalBytes, segmentBytes } = this.settings;
    // Groups that wait become segments, each with a header that nobody could count before.
    const segments = 2 * Math.ceil(journalBytes / segmentBytes) + 2;
    // What was settled made room for writes that were accepted by then, and was to be sent again.
    const maxBytes = this.#hasRewound ? 2 * journalBytes : journalBytes;
    // What is kept is removed when its bytes are needed, which takes the disk a moment.
    const bytes = status.bytes - status.retainedBytes;
    if (bytes > maxBytes + segments * HEADER_BYTES) {
      world.violated(`the journal has ${bytes} bytes, of ${journalBytes}`);
    }
    // Not ready any more: whoever watches it starts it anew.
    if (status.failure !== undefined && !this.#stopping) this.kill("restart after a failed disk");
  }

  /**
   * Another instance, which knows what the store says of the cache, must not read what is older
   * than what was settled.
   */
  #checkSharedCopies(): void {
    const { model, store, cache, world } = this.parts;
    const { id, cacheGeneration } = store.identity;
    for (const userId of model.users) {
      const copy = cache.complete(userId, `${id.slice(0, 8)}.${cacheGeneration}`);
      const settled = model.settledEntry(userId);
      if (copy === undefined || settled === undefined || compareVersions(copy, settled) >= 0) {
        continue;
      }
      world.violated(`another instance would read an outdated copy of ${userId} from the cache`);
    }
  }

  #make(process: Process): Running {
    const { world, disk, store, cache, bug } = this.parts;
    const { settings } = this;
    const clock = new SimulatedClock(world, process, () => this.wallOffsetMs);
    const breaker = new Breaker("Reads of the store", clock);
    const client = store.client(process);
    const guarded = guardStore(
      { ...client, store: buggyStore(client.store, store, bug) },
      { store: new Breaker("The store", clock), reads: breaker },
      () => {},
    );
    const namespace = new CacheNamespace(guarded.identity, clock);
    const lastKnown = new LastKnown(settings.cacheTtlMs, clock);
    const fs = buggyDisk(disk.mount(process), bug);
    const running: Running = {
      process,
      breaker,
      breakerMs: -Infinity,
      doors: undefined,
      requests: 0,
      service: new Service({
        front: this.#front(() => running),
        openJournal: (listener) => this.#openJournal(process, clock, fs, listener),
        openCacheNote: () => openCacheNote(fs, DATA_DIR, this.#isFresh),
        store: guarded.store,
        makeSink: () => new StoreSink(BATCH_MAX, { store: guarded.store, clock, metrics, log }),
        cache: new CacheClient({
          cache: new GuardedCache(
            buggyCache(
              cache.client(process, {
                namespace: () => namespace.text,
                clock,
                keepsCopiesOfUpdated: bug === "local-copy-kept",
              }),
              bug,
              (entries) => {
                for (const entry of entries) {
                  running.doors?.intake.pending.settle([entry], entry.seq);
                }
              },
            ),
            new Breaker("The cache", clock),
          ),
          ttlMs: settings.cacheTtlMs,
          clock,
          onFault: () => {},
          sharing: bug === "cache-failure-untold" ? untold(namespace) : namespace,
          onForget: (userId) => lastKnown.forget(userId),
        }),
        namespace,
        lastKnown,
        batch: { size: settings.batchSize, intervalMs: settings.batchIntervalMs, max: BATCH_MAX },
        pendingBytes: settings.pendingBytes,
        graceMs: GRACE_MS,
        ...{ clock, metrics, log },
        random: world.random.next,
      }),
    };
    return running;
  }

  #front(running: () => Running): Front {
    const { world } = this.parts;
    return {
      listen: () => Promise.resolve("simulated"),
      open: (doors) => Promise.resolve(void (running().doors = doors)),
      close: async () => {
        running().doors = undefined;
        while (running().requests > 0) await world.delay(20, "requests finish");
      },
    };
  }

  async #openJournal(
    process: Process,
    clock: SimulatedClock,
    fs: JournalFileSystem,
    listener: IntakeListener,
  ): Promise<Intake & Source> {
    const { world, model, disk, bug } = this.parts;
    const { settings } = this;
    const recovered: Entry[] = [];
    const journal = await openJournal({
      dir: DIR,
      retainMs: bug === "settled-segment-not-kept" ? 0 : settings.retainMs,
      maxBytes: settings.journalBytes,
      segmentBytes: settings.segmentBytes,
      fs,
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
      setInterval: (callback, intervalMs) => clock.setInterval(callback, intervalMs),
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
    if (process.alive) model.recovered(recovered);
    return new WatchedJournal(journal, {
      settling: (batch) => {
        if (!process.alive) return;
        model.settled(batch);
        this.#checkSharedCopies();
      },
      rewound: (source, seq, { entries, missingThrough }) => {
        if (!process.alive) return;
        this.#hasRewound = true;
        if (entries > 0) world.fault("sent again");
        if (missingThrough !== undefined) model.notKept(source, seq, missingThrough);
      },
    });
  }

  #goesOn(running: Running): boolean {
    return running.process.alive && this.#running === running && !this.#stopping;
  }

  #end(process: Process): void {
    process.alive = false;
    this.#running = undefined;
    this.#stopping = false;
    this.parts.disk.kill(process);
  }
}
