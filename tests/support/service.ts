/** A service on a fake disk, clock, store, cache and front. */
import { StoreSink } from "../../src/delivery/store_sink.ts";
import { openJournal } from "../../src/journal/journal.ts";
import { PauseSwitch } from "../../src/pause_switch.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { openCacheNote } from "../../src/reading/cache_note.ts";
import { LastKnown } from "../../src/reading/last_known.ts";
import { Service } from "../../src/service.ts";
import type { Doors, Front, ServiceParts } from "../../src/service_parts.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeCache } from "./fake_cache.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeFileSystem } from "./fake_file_system.ts";
import { FakeStore, idleMetrics } from "./fakes.ts";

export const GRACE_MS = 10_000;
const DATA_DIR = "/data";

/** Requests come from the test, and are carried out for as long as it likes. */
class FakeFront implements Front {
  doors: Doors | undefined;
  requests = 0;
  failWith: Error | undefined;
  #finished = Promise.withResolvers<void>();

  listen(): Promise<string> {
    if (this.failWith !== undefined) return Promise.reject(this.failWith);
    return Promise.resolve("http://127.0.0.1:8080");
  }
  open(doors: Doors): Promise<void> {
    this.doors = doors;
    return Promise.resolve();
  }
  async close(): Promise<void> {
    if (this.requests > 0) await this.#finished.promise;
  }
  async carryOut<T>(request: (doors: Doors) => T | Promise<T>): Promise<T> {
    if (this.requests++ === 0) this.#finished = Promise.withResolvers<void>();
    try {
      return await request(this.doors!);
    } finally {
      if (--this.requests === 0) this.#finished.resolve();
    }
  }
}

export class ServiceFixture {
  readonly clock = new FakeClock();
  readonly fs: FakeFileSystem;
  readonly store = new FakeStore();
  readonly cache = new FakeCache();
  readonly front = new FakeFront();
  readonly pausing = new PauseSwitch();
  readonly events: string[] = [];
  readonly lines: string[] = [];
  readonly service: Service;

  constructor(fs = new FakeFileSystem(), changes: Partial<ServiceParts> = {}) {
    this.fs = fs;
    const { clock, store, events } = this;
    const log = new Log("warn", "json", (line) => this.lines.push(line));
    const metrics = idleMetrics();
    this.service = new Service({
      front: this.front,
      openJournal: (listener) =>
        openJournal({
          dir: `${DATA_DIR}/journal`,
          maxBytes: 64 * 1024 * 1024,
          retainMs: 0,
          fs,
          listener,
          now: () => clock.now(),
          monotonicMs: () => clock.monotonicMs(),
        }),
      openCacheNote: () => openCacheNote(fs, DATA_DIR, true),
      store,
      makeSink: () => new StoreSink(100, { store, metrics, log }),
      cache: new CacheClient({ cache: this.cache, ttlMs: 60_000, clock, onFault: () => {} }),
      lastKnown: new LastKnown(60_000, clock),
      batch: { size: 10, intervalMs: 2_000, max: 100 },
      graceMs: GRACE_MS,
      pausing: this.pausing,
      ...{ clock, metrics, log },
      random: () => 0.5,
      attendants: [{ start: () => {}, stop: () => {} }],
      observe: (event) => events.push(event),
      ...changes,
    });
  }

  write(userId: string, ack: "durable" | "flushed" = "durable") {
    return this.front.carryOut(({ intake }) =>
      intake.write({ userId, value: "v", ts: 1_000 }, ack)
    );
  }

  /** Starts, and forgets the events of it. */
  async start(): Promise<void> {
    await this.service.start();
    this.events.length = 0;
  }

  async stop(): Promise<void> {
    const stopping = this.service.stop();
    let isOver = false;
    const over = stopping.finally(() => isOver = true);
    over.catch(() => {});
    for (let i = 0; i < 2_000 && !isOver; i++) await this.clock.advance(25);
    await over;
  }
}
