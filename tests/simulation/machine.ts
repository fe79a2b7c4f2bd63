/**
 * The machine that the program runs on: it boots, is stopped, killed, loses power; and what clients
 * do with it meanwhile.
 */
import { Breaker, guardStore } from "../../src/guarding/breaker.ts";
import { CacheClient, type CacheSharing } from "../../src/reading/cache_client.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { CacheNamespace } from "../../src/reading/cache_namespace.ts";
import { type Core, openCore } from "../../src/core.ts";
import { compareVersions, type Entry } from "../../src/domain.ts";
import { AppError, reasonOf } from "../../src/errors.ts";
import { HEADER_BYTES } from "../../src/journal/codec.ts";
import { Log } from "../../src/telemetry/log.ts";
import type { AckLevel } from "../../src/intake/writer.ts";
import { idleMetrics } from "../support/fakes.ts";
import { type Bug, buggyCache, buggyDisk, buggyStore } from "./bugs.ts";
import type { SimulatedCache } from "./cache.ts";
import type { SimulatedDisk } from "./disk.ts";
import type { Model } from "./model.ts";
import type { SimulatedStore } from "./store.ts";
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
  readonly batchSize: number;
  readonly batchIntervalMs: number;
  readonly pendingBytes: number;
  readonly cacheTtlMs: number;
}

interface Running {
  readonly process: Process;
  readonly core: Core;
  readonly cache: CacheClient;
  readonly namespace: CacheNamespace;
  /** Of look-ups. */
  readonly breaker: Breaker;
  /** When it was last not closed. */
  breakerMs: number;
  requests: number;
}

const DIR = "/data/journal";
const RESTART_MS = 200;
const GRACE_MS = 5_000;

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
  #settledSeq = 0;

  constructor(private readonly parts: MachineParts, private readonly settings: Settings) {}

  get up(): boolean {
    return this.#running !== undefined && !this.#stopping;
  }

  /** Nothing waits for the store. */
  get idle(): boolean {
    return this.up && this.#running!.core.queue.stats().depth === 0;
  }

  /** Starts the program, again and again if need be. */
  boot(): void {
    const process = this.#process = { alive: true };
    void this.#open(process).then((running) => {
      this.#running = running;
      running.namespace.start();
      running.core.batcher.start();
    }, (error) => {
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
    while (running.requests > 0) await world.delay(20, "requests finish");
    const grace = new AbortController();
    world.after(GRACE_MS, "grace", () => grace.abort());
    const { batcher, queue } = running.core;
    await batcher.drain(grace.signal);
    await batcher.stop();
    running.namespace.stop();
    await queue.close(running.cache.current).catch((error) =>
      world.violated(`the queue does not close: ${reasonOf(error)}`)
    );
    if (!running.process.alive) return;
    this.#end(running.process);
    world.after(RESTART_MS, "boot", () => this.boot());
  }

  async write(userId: string, value: string, ts: number, ack: AckLevel): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#stopping) return;
    const { model, world } = this.parts;
    const write = model.begin(userId, value, ts);
    world.trace(`${ack} write of ${userId}: ${value.split(":")[0]} at ${ts}`);
    running.requests++;
    try {
      model.accepted(write, await running.core.writer.write({ userId, value, ts }, ack));
    } catch (error) {
      if (!(error instanceof AppError)) {
        return world.violated(`a write failed on a defect: ${reasonOf(error)}`);
      }
      world.fault(`write refused: ${error.code}`);
      model.refused(write, error.code);
    } finally {
      running.requests--;
    }
  }

  async read(userId: string): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#stopping) return;
    const { model, world, store, disk } = this.parts;
    const floor = model.floor(userId);
    // What the queue let go of may be out of reach while the store is.
    const floorWithoutStore = model.floor(userId, running.core.queue.stats().ackedSeq);
    const startedMs = world.nowMs;
    world.trace(`read of ${userId}, expecting ${floor?.value.split(":")[0] ?? "anything"}`);
    const readsFail = disk.faults.failedReads > 0;
    running.requests++;
    if (running.breaker.state !== 0) running.breakerMs = startedMs;
    const storeAway = () =>
      Math.max(store.lastFaultMs, running.breakerMs) >= startedMs || store.faults.blackHole;
    try {
      const found = await running.core.reader.read(userId);
      model.wasRead(userId, storeAway() ? floorWithoutStore : floor, found?.entry);
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
    if (this.#running === undefined) return;
    const running = this.#running;
    if (running.breaker.state !== 0) running.breakerMs = this.parts.world.nowMs;
    const { instance, ackedSeq, bytes, failure } = running.core.queue.stats();
    const { world, model } = this.parts;
    if (ackedSeq !== this.#settledSeq) {
      this.#settledSeq = ackedSeq;
      model.settled(instance, ackedSeq);
      this.#checkSharedCopies(ackedSeq);
    }
    // Groups that wait become segments, each with a header that nobody could count before.
    const segments = 2 * Math.ceil(this.settings.journalBytes / this.settings.segmentBytes) + 2;
    if (bytes > this.settings.journalBytes + segments * HEADER_BYTES) {
      world.violated(`the journal has ${bytes} bytes, of ${this.settings.journalBytes}`);
    }
    // Not ready any more: whoever watches it starts it anew.
    if (failure !== undefined && !this.#stopping) this.kill("restart after a failed disk");
  }

  /**
   * Another instance, which knows what the store says of the cache, must not read what is older
   * than what was settled.
   */
  #checkSharedCopies(ackedSeq: number): void {
    const { model, store, cache, world } = this.parts;
    const { id, cacheGeneration } = store.identity;
    for (const userId of model.users) {
      const copy = cache.complete(userId, `${id.slice(0, 8)}.${cacheGeneration}`);
      const settled = model.settledEntry(userId, ackedSeq);
      if (copy === undefined || settled === undefined || compareVersions(copy, settled) >= 0) {
        continue;
      }
      world.violated(`another instance would read an outdated copy of ${userId} from the cache`);
    }
  }

  async #open(process: Process): Promise<Running> {
    const { world, model, disk, store, cache, bug } = this.parts;
    const { settings } = this;
    const clock = new SimulatedClock(world, process, () => this.wallOffsetMs);
    const breaker = new Breaker("Reads of the store", clock);
    const guardedStore = guardStore(
      { ...store.client(process), ...buggyStore(store.client(process), store, bug) },
      new Breaker("The store", clock),
      breaker,
    );
    const namespace = new CacheNamespace(guardedStore, clock);
    const lastKnown = new LastKnown(settings.cacheTtlMs, clock);
    const cacheClient = new CacheClient({
      cache: new Breaker("The cache", clock).guard(
        buggyCache(cache.client(process, { namespace: () => namespace.text, clock }), bug),
      ),
      ttlMs: settings.cacheTtlMs,
      clock,
      onFault: () => {},
      sharing: bug === "cache-failure-untold" ? untold(namespace) : namespace,
      onForget: (userId) => lastKnown.forget(userId),
    });
    const recovered: Entry[] = [];
    const core = await openCore({
      journal: {
        dir: DIR,
        maxBytes: settings.journalBytes,
        segmentBytes: settings.segmentBytes,
        fs: buggyDisk(disk.mount(process), bug),
        onRecovered: (entry) => recovered.push(entry),
        observer: {
          onDamage: ({ kind, segment, offset }) => {
            if (kind === "torn-tail") return world.trace(`torn tail of ${segment} at ${offset}`);
            if (offset < disk.wholeBytes(`${DIR}/${segment}`)) {
              model.damageReported(`${segment} at ${offset}`);
            }
          },
        },
      },
      batch: { size: settings.batchSize, intervalMs: settings.batchIntervalMs, max: 200 },
      store: guardedStore,
      cache: cacheClient,
      lastKnown,
      clock,
      metrics,
      log,
      random: world.random.next,
      pendingBytes: settings.pendingBytes,
    });
    if (process.alive) model.recovered(recovered);
    return {
      process,
      core,
      cache: cacheClient,
      namespace,
      breaker,
      breakerMs: -Infinity,
      requests: 0,
    };
  }

  #end(process: Process): void {
    process.alive = false;
    this.#running = undefined;
    this.#stopping = false;
    this.parts.disk.kill(process);
  }
}
