/**
 * Says by which way entries go from the journal to the store: directly; by a broker and workers; or,
 * where an earlier run of this directory had a broker, its entries by groups and the rest directly.
 */
import { Applier } from "./applying/applier.ts";
import type { Config } from "./config/config.ts";
import { StoreSink } from "./delivery/store_sink.ts";
import { TracedSink } from "./delivery/traced_sink.ts";
import type { JournalFileSystem } from "./disk/file_system.ts";
import { noteForwarded, readForwarded } from "./forwarding/forwarded_runs.ts";
import type { ForwardingParts } from "./forwarding/forwarding_half.ts";
import { SinkBySource } from "./forwarding/sink_by_source.ts";
import { StoredSink } from "./forwarding/stored_sink.ts";
import { publishToStore } from "./forwarding/to_store.ts";
import type { Broker } from "./parts.ts";
import type { PauseSwitch } from "./pause_switch.ts";
import type { Publisher } from "./ports/broker.ts";
import type { Clock } from "./ports/clock.ts";
import type { GroupStore } from "./ports/group_store.ts";
import type { Sink } from "./ports/sink.ts";
import type { StorePorts } from "./ports/store.ts";
import type { Attendant, JournalPorts } from "./service_parts.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { NO_TRACING, type Tracing } from "./telemetry/tracing.ts";

interface DeliveryWayParts {
  readonly broker: Broker | undefined;
  readonly store: StorePorts;
  /** It returns the identity of the store, once that is known. */
  readonly storeIdentity: () => string | undefined;
  readonly fs: JournalFileSystem;
  readonly clock: Clock;
  readonly pausing: PauseSwitch;
  /** It returns a number in [0, 1); default `Math.random`. */
  readonly random?: () => number;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly tracing?: Tracing;
}

/**
 * With a broker between, the store is asked so often how far it is: whoever waits for it waits that
 * much longer, and a look-up of one row is little to a database.
 */
const SETTLE_MS = 100;
/** A batch that is only settled costs no flush: its size is bounded by the memory it takes. */
const SETTLED_ROWS_MAX = 5_000;

export class DeliveryWay {
  readonly #publisher: Publisher | undefined;
  readonly #applier: Applier | undefined;
  /** It is true of a source that goes by groups; of all else the store is told directly. */
  #isForwarded: (source: string) => boolean = () => false;

  constructor(
    private readonly config: Pick<Config, "role" | "batch" | "dataDir">,
    private readonly parts: DeliveryWayParts,
  ) {
    const { broker, metrics, log } = parts;
    if (broker === undefined) return;
    if (config.role !== "worker") {
      // The forwarder tells of what does not get through.
      const onFault = (error: unknown) =>
        log.debug("The connection to the broker failed", { error });
      this.#publisher = broker.makePublisher({ onFault });
    }
    if (config.role === "api") return;
    this.#applier = new Applier(config.batch, {
      consumer: broker.makeConsumer({
        onFault: limitRate(parts.clock, FAULT_LOG_INTERVAL_MS, (heldBack, error) => {
          const told = { event: "broker-fault", error, heldBack } as const;
          log.warn("The broker gives nothing just now; it is asked again", told);
        }),
      }),
      groups: this.#groups,
      clock: parts.clock,
      pausing: parts.pausing,
      random: parts.random ?? Math.random,
      metrics,
      log,
      tracing: parts.tracing ?? NO_TRACING,
    });
  }

  /** It is what a worker does; undefined where this process is none. */
  get applier(): Applier | undefined {
    return this.#applier;
  }

  get batch(): Config["batch"] {
    if (this.#publisher === undefined) return this.config.batch;
    return { size: Infinity, intervalMs: SETTLE_MS, max: SETTLED_ROWS_MAX };
  }

  /** These run beside the halves. */
  get attendants(): readonly Attendant[] {
    const [applier, publisher] = [this.#applier, this.#publisher];
    return [
      ...applier === undefined ? [] : [applier],
      ...publisher === undefined ? [] : [{ start: () => {}, stop: () => publisher.close() }],
    ];
  }

  makeSink(run: string): Sink {
    const { store: { store }, metrics, log, tracing = NO_TRACING } = this.parts;
    const stored = new StoredSink({
      store,
      deadAmong: (...what) => this.#groups.dead(...what),
      run: () => run,
    });
    const toStore = new StoreSink(this.config.batch.max, { store, metrics, log });
    const direct = new TracedSink(toStore, tracing);
    return new SinkBySource((source) => this.#isForwarded(source), stored, direct);
  }

  /**
   * A run goes one way for its whole life, whatever is configured later: what two of them bring at
   * the same time could be there twice.
   */
  async openForwarding(journal: JournalPorts): Promise<ForwardingParts | undefined> {
    const { fs, log, store: { store } } = this.parts;
    const { dataDir } = this.config;
    const known = await readForwarded(fs, dataDir);
    const forwarded = new Set(journal.sources.filter((source) => known.has(source)));
    const isForwarded = this.#isForwarded = (source) => forwarded.has(source);
    let publisher = this.#publisher;
    if (publisher !== undefined) {
      forwarded.add(journal.run);
      await noteForwarded(fs, dataDir, [...forwarded]);
    } else {
      if (forwarded.size === 0) return undefined;
      log.info("A broker may have entries of earlier runs: these are brought by groups", {
        event: "broker-foreign",
        runs: forwarded.size,
      });
      publisher = publishToStore(this.#groups);
    }
    return {
      ...this.parts,
      store,
      groups: this.#groups,
      publisher,
      isForwarded,
      random: this.parts.random ?? Math.random,
    };
  }

  get #groups(): GroupStore {
    const { groups } = this.parts.store;
    if (groups === undefined) throw new Error("The embedded store takes no groups");
    return groups;
  }
}
