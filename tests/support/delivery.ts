/** Delivery on ports in memory, and what came of it. */
import type { BatcherOptions } from "../../src/delivery/batcher.ts";
import type { Settlement } from "../../src/delivery/delivery.ts";
import { DeliveryHalf } from "../../src/delivery/delivery_half.ts";
import { StoreSink } from "../../src/delivery/store_sink.ts";
import { Acknowledgements, type Outcome } from "../../src/intake/acknowledgements.ts";
import { Pending } from "../../src/intake/pending.ts";
import { PauseSwitch } from "../../src/pause_switch.ts";
import type { Cache } from "../../src/ports/cache.ts";
import { CacheClient } from "../../src/reading/cache_client.ts";
import { Log } from "../../src/telemetry/log.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeJournal } from "./fake_journal.ts";
import { entry, FakeStore, idleMetrics, INSTANCE } from "./fakes.ts";

/** Entries of {@link entry} are of this source. */
export const SOURCE = INSTANCE;

export class DeliverySetUp {
  readonly clock = new FakeClock();
  readonly journal = new FakeJournal();
  readonly store = new FakeStore();
  readonly pending = new Pending((run, seq) => this.journal.read(run, seq));
  readonly metrics = idleMetrics();
  /** What each update brought to the cache, by number, and the users it was told to forget. */
  readonly updates: number[][] = [];
  readonly forgotten: string[] = [];
  /** The cache refuses updates while this is so. */
  cacheRefuses = false;
  /** The others cannot be told that their copies are outdated. */
  outdate: () => Promise<void> = () => Promise.resolve(void this.generations++);
  /** How often all copies were outdated. */
  generations = 0;
  /** In the order in which they happened. */
  readonly events: string[] = [];
  readonly pausing = new PauseSwitch();
  readonly lines: string[] = [];
  readonly cache: CacheClient;
  half: DeliveryHalf;
  readonly #acknowledgements = new Acknowledgements(this.clock);
  readonly #log = new Log("error", "json", (line) => this.lines.push(line));

  constructor(
    private readonly options: BatcherOptions = { size: 50, intervalMs: 2_000, max: 5_000 },
  ) {
    this.cache = new CacheClient({
      cache: this.#cache(),
      ttlMs: 1_000,
      clock: this.clock,
      onFault: () => {},
      sharing: {
        text: "",
        isSure: true,
        refresh: () => Promise.resolve(),
        outdate: () => this.outdate(),
      },
    });
    this.half = this.newHalf();
  }

  /** Another one, which knows nothing of what the last one did. */
  newHalf(): DeliveryHalf {
    const { clock, journal, store, metrics, cache } = this;
    const log = this.#log;
    return this.half = new DeliveryHalf(this.options, {
      source: journal,
      sink: new StoreSink(this.options.max, { store, metrics, log }),
      random: () => 0.5,
      pausing: this.pausing,
      onSettled: (settlement) => this.#settled(settlement),
      isAwaited: () => this.#acknowledgements.isAwaited,
      ...{ cache, clock, metrics, log },
    });
  }

  fill(from: number, to: number): void {
    for (let seq = from; seq <= to; seq++) {
      this.journal.add(entry(seq));
      this.pending.addDurable(entry(seq));
    }
  }

  /** What becomes of the write of this number. */
  wait(seq: number, timeoutMs = 10_000): Promise<Outcome> {
    return this.#acknowledgements.wait(entry(seq), timeoutMs);
  }

  get settledSeq(): number {
    return this.journal.settledThrough.get(SOURCE) ?? 0;
  }

  get storedSeqs(): number[] {
    return this.store.rows.map(({ seq }) => seq);
  }

  #settled(settlement: Settlement): void {
    this.events.push(`told ${settlement.lastSeq}, the journal has settled ${this.settledSeq}`);
    this.pending.settle(settlement.entries, settlement.lastSeq);
    this.#acknowledgements.settle(INSTANCE, settlement);
  }

  #cache(): Cache {
    return {
      get: () => Promise.resolve(undefined),
      token: () => Promise.resolve(""),
      fill: () => Promise.resolve(true),
      update: (entries) => {
        if (this.cacheRefuses) return Promise.reject(new Error("READONLY"));
        this.updates.push(entries.map(({ seq }) => seq));
        const pending = entries.filter(({ userId }) => this.pending.has(userId)).length;
        this.events.push(
          `cache has ${entries.at(-1)?.seq}, of ${entries.length} ${pending} pending`,
        );
        return Promise.resolve();
      },
      forget: (userId) => Promise.resolve(void this.forgotten.push(userId)),
      close: () => Promise.resolve(),
    };
  }
}

export function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
