/** Has the gauges that are read at the moment of a scrape instead of being counted. */
import type { Metric, MetricObjectWithValues, MetricValue, Registry } from "prom-client";

/** These say how it stands with the service. Where undefined is returned there is no series. */
export interface Gauges {
  queueDepth(): number;
  queueOldestAgeSeconds(): number;
  journalBytes(): number;
  journalRetainedBytes(): number;
  /** It is undefined where there is no journal. */
  journalMaxBytes(): number | undefined;
  /** It says whether the journal is such that nothing is accepted until somebody has mended it. */
  journalHasFailed(): boolean;
  /** It says whether `/readyz` says yes. */
  isReady(): boolean;
  /** It says whether the broker takes or gives messages; undefined where there is none. */
  isBrokerUp(): boolean | undefined;
  /** It says whether this instance leads. */
  leads(): boolean;
  /** Rejects when nobody can tell; the last known number is shown then. */
  deadLetters(): Promise<number>;
  /** Each is 0 closed, 1 half-open or 2 open, by the name of its dependency. */
  readonly breakers: Readonly<Record<string, { readonly state: 0 | 1 | 2 }>>;
  /** The kinds of what this instance is made of, by their labels. */
  readonly kinds: Readonly<Record<string, string>>;
}

type Samples = readonly MetricValue<string>[];

class SampledMetric {
  constructor(
    readonly name: string,
    readonly help: string,
    readonly type: "gauge" | "counter",
    private readonly sample: () => Samples | Promise<Samples>,
    private last: Samples,
  ) {}

  /** The registry asks for this at a scrape. */
  async get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    try {
      this.last = await this.sample();
    } catch {
      // The other metrics are wanted most when something is down.
    }
    const { name, help, type } = this;
    return { name, help, type, aggregator: "sum", values: this.last } as never;
  }
}

type Reading = number | boolean | undefined;

/**
 * @param read is called at each scrape; where it rejects the last value is shown
 * @param first is shown as long as there is none
 */
export function sampled(
  registry: Registry,
  name: string,
  help: string,
  read: () => Reading | Promise<Reading>,
  first?: number,
): void {
  const samples = (value: Reading) =>
    value === undefined ? [] : [{ labels: {}, value: Number(value) }];
  register(registry, name, help, async () => samples(await read()), samples(first));
}

function register(
  registry: Registry,
  name: string,
  help: string,
  sample: () => Samples | Promise<Samples>,
  first: Samples = [],
): void {
  const type = name.endsWith("_total") ? "counter" : "gauge";
  const metric = new SampledMetric(name, help, type, sample, first);
  // The package's type names its own classes, while its registry asks for no more than this.
  registry.registerMetric(metric as unknown as Metric<string>);
}

export function registerGauges(registry: Registry, gauges: Gauges): void {
  const table: readonly [string, string, () => Reading][] = [
    ["queue_depth", "Entries accepted and not yet in the store.", gauges.queueDepth],
    ["queue_oldest_age_seconds", "Age of the oldest of them.", gauges.queueOldestAgeSeconds],
    ["journal_bytes", "Bytes the journal holds on disk.", gauges.journalBytes],
    [
      "journal_retained_bytes",
      "Of these, what the store has, and new writes may take the place of.",
      gauges.journalRetainedBytes,
    ],
    [
      "journal_max_bytes",
      "Writes are refused when the journal would hold more (JOURNAL_MAX_BYTES).",
      gauges.journalMaxBytes,
    ],
    [
      "journal_failed",
      "1 where no write can be made durable any more, until somebody has mended it, else 0.",
      gauges.journalHasFailed,
    ],
    ["ready", "1 where /readyz says that writes are accepted, else 0.", gauges.isReady],
    ["broker_up", "1 where the broker takes or gives messages, else 0.", gauges.isBrokerUp],
    [
      "leader",
      "1 where this instance leads, which one of all does at a time, else 0.",
      gauges.leads,
    ],
  ];
  for (const [name, help, read] of table) sampled(registry, `dsproxy_${name}`, help, read);
  sampled(
    registry,
    "dsproxy_dead_letters",
    "Entries that the store refused and that wait for a decision.",
    gauges.deadLetters,
    0,
  );
  register(
    registry,
    "dsproxy_breaker_state",
    "0 calls go through, 1 one call tries whether the dependency is back, 2 calls are refused at " +
      "once.",
    () =>
      Object.entries(gauges.breakers).map(([dependency, { state }]) => ({
        labels: { dependency },
        value: state,
      })),
  );
  register(
    registry,
    "dsproxy_instance_info",
    "Always 1; the labels say what this instance is made of.",
    () => [{ labels: { ...gauges.kinds }, value: 1 }],
  );
}
