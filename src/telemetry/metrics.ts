/**
 * Has every metric of the service, by the names of the public contract. An application has one
 * instance, and there is no global registry.
 */
import { Gauge, Registry } from "prom-client";
import { ClusterMetrics, SECONDS_BUCKETS } from "./cluster_metrics.ts";
import { CountFamily, DurationFamily } from "./families.ts";
import { VERSION } from "../version.ts";

const ROWS_BUCKETS = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];

/** These are read at the moment of a scrape instead of being counted. */
interface Gauges {
  queueDepth(): number;
  queueOldestAgeSeconds(): number;
  journalBytes(): number;
  journalRetainedBytes(): number;
  /** It says whether this instance leads. */
  leads(): boolean;
  /** Rejects when nobody can tell; the last known number is shown then. */
  deadLetters(): Promise<number>;
  /** Each is 0 closed, 1 half-open or 2 open, by the name of its dependency. */
  readonly breakers: Readonly<Record<string, { readonly state: 0 | 1 | 2 }>>;
}

export class Metrics extends ClusterMetrics {
  #scrape: Promise<unknown> = Promise.resolve();

  readonly httpRequests = this.#counts<"route" | "method" | "code">(
    "http_requests_total",
    "HTTP requests answered.",
  );
  readonly httpDuration = new DurationFamily<"route">(
    this.registry,
    "dsproxy_http_request_duration_seconds",
    "Time to answer.",
    SECONDS_BUCKETS,
  );
  readonly writes = this.#counts<"ack">(
    "writes_total",
    "Writes accepted, by acknowledgement level.",
  );
  readonly reads = this.#counts<"source">(
    "reads_total",
    "Reads, by the tier that answered (none: not found).",
  );
  readonly flushDuration = this.histogram(
    "flush_duration_seconds",
    "Time of one flush to the store.",
    SECONDS_BUCKETS,
  );
  readonly flushRows = this.counter(
    "flush_rows_total",
    "Rows flushed (ok), of failed attempts (failed), and refused by the store (dead).",
    [
      "outcome",
    ],
  );
  readonly flushRetries = this.counter(
    "flush_retries_total",
    "Flushes tried again after a failure.",
  );
  readonly storeWentBack = this.counter(
    "store_went_back_total",
    "Times that the store no longer had what it had confirmed: a restored backup, a " +
      "replica that was behind.",
  );
  readonly storeWentBackWrites = this.counter(
    "store_went_back_writes_total",
    "Confirmed writes that were gone then.",
  );
  readonly storeErrors = this.counter(
    "store_errors_total",
    "Calls of the store that were made and failed, by call; not those that a breaker held back.",
    ["call"],
  );
  readonly batchRows = this.histogram("batch_rows", "Rows in a flush.", ROWS_BUCKETS);
  readonly fsyncDuration = this.histogram(
    "journal_fsync_duration_seconds",
    "Time of one journal fsync.",
    SECONDS_BUCKETS,
  );
  readonly journalDamage = this.counter(
    "journal_damage_total",
    "Damaged stretches found in the journal, by kind.",
    [
      "kind",
    ],
  );
  readonly clockSteps = this.counter(
    "clock_steps_total",
    "Steps of the wall clock by more than a minute: while this runs, or behind the last " +
      "write of an earlier run.",
  );
  readonly cacheErrors = this.counter(
    "cache_errors_total",
    "Cache calls that failed or ran out of time.",
  );
  readonly shed = this.counter("shed_total", "Requests refused at a limit, by reason.", [
    "reason",
  ]);
  readonly brokerMessages = this.counter(
    "broker_messages_total",
    "Messages with groups of writes, confirmed by the broker or not taken (failed).",
    ["outcome"],
  );
  readonly receivedMessages = this.counter(
    "broker_received_total",
    "Messages received: applied to the store, or put among the broker's dead letters " +
      "(undecodable, overlapping, foreign: meant for another store).",
    ["outcome"],
  );
  readonly spans = this.counter(
    "spans_total",
    "Spans exported; not taken by the receiver (failed); not kept, as too many waited (dropped).",
    ["outcome"],
  );
  readonly #loopLag = this.gauge(
    "event_loop_lag_seconds",
    "How late the last timer of the event loop ran.",
  );

  constructor(gauges: Gauges, startedMs: number) {
    super();
    // Series that exist from the first scrape let a rate() see the first event.
    for (const ack of ["accepted", "durable", "replicated", "flushed"]) this.writes.series({ ack });
    for (const source of ["pending", "local", "redis", "store", "stale", "none"]) {
      this.reads.series({ source });
    }
    for (const outcome of ["ok", "failed", "dead"]) this.flushRows.inc({ outcome }, 0);
    for (
      const call of [
        "open",
        "put",
        "marks",
        "latest",
        "identify",
        "outdateCopies",
        "apply",
        "fold",
        "dead",
      ]
    ) {
      this.storeErrors.inc({ call }, 0);
    }
    for (const outcome of ["exported", "failed", "dropped"]) this.spans.inc({ outcome }, 0);
    for (const outcome of ["confirmed", "failed"]) this.brokerMessages.inc({ outcome }, 0);
    for (const outcome of ["applied", "undecodable", "overlapping", "foreign"]) {
      this.receivedMessages.inc({ outcome }, 0);
    }
    for (const outcome of ["stored", "refused"]) this.deadLetterRetries.inc({ outcome }, 0);
    for (const kind of ["torn-tail", "damaged"]) this.journalDamage.inc({ kind }, 0);
    this.#sampled("queue_depth", "Entries accepted and not yet in the store.", gauges.queueDepth);
    this.#sampled(
      "queue_oldest_age_seconds",
      "Age of the oldest of them.",
      gauges.queueOldestAgeSeconds,
    );
    this.#sampled("journal_bytes", "Bytes the journal holds on disk.", gauges.journalBytes);
    this.#sampled(
      "journal_retained_bytes",
      "Of these, what the store has, and new writes may take the place of.",
      gauges.journalRetainedBytes,
    );
    this.#sampled(
      "dead_letters",
      "Entries that the store refused and that wait for a decision.",
      gauges.deadLetters,
    );
    this.#sampled(
      "leader",
      "1 where this instance leads, which one of all does at a time, else 0.",
      () => gauges.leads() ? 1 : 0,
    );
    this.#breakers(gauges.breakers);
    this.gauge("build_info", "Always 1; the labels say what runs.", ["version", "deno"])
      .set({ version: VERSION, deno: Deno.version.deno }, 1);
    this.#process(startedMs);
  }

  recordLoopLag(seconds: number): void {
    this.#loopLag.set(seconds);
  }

  /**
   * Returns the exposition text; `openMetrics` chooses the OpenMetrics format instead of the
   * classic one.
   */
  expose(openMetrics: boolean): Promise<{ contentType: string; text: string }> {
    // The format is a setting of the registry, so two scrapes must not overlap.
    const scrape = this.#scrape.then(async () => {
      const type = openMetrics
        ? Registry.OPENMETRICS_CONTENT_TYPE
        : Registry.PROMETHEUS_CONTENT_TYPE;
      (this.registry as { setContentType(type: string): void }).setContentType(type);
      // The package writes names without `_total` into the counters for OpenMetrics, and would keep
      // them so.
      const metrics = this.registry.getMetricsAsArray() as unknown as { name: string }[];
      const names = metrics.map(({ name }) => name);
      try {
        return { contentType: this.registry.contentType, text: await this.registry.metrics() };
      } finally {
        metrics.forEach((metric, i) => metric.name = names[i]!);
      }
    });
    this.#scrape = scrape.catch(() => {});
    return scrape;
  }

  #breakers(breakers: Gauges["breakers"]): void {
    new Gauge({
      name: "dsproxy_breaker_state",
      help: "0 calls go through, 1 one call tries whether the dependency is back, 2 calls are " +
        "refused at once.",
      labelNames: ["dependency"],
      registers: [this.registry],
      collect() {
        for (const [dependency, { state }] of Object.entries(breakers)) {
          this.set({ dependency }, state);
        }
      },
    });
  }

  #process(startedMs: number): void {
    new Gauge({
      name: "process_start_time_seconds",
      help: "Start time since the Unix epoch.",
      registers: [this.registry],
    }).set(startedMs / 1000);
    new Gauge({
      name: "process_resident_memory_bytes",
      help: "Resident memory.",
      registers: [this.registry],
      collect() {
        this.set(Deno.memoryUsage().rss);
      },
    });
    new Gauge({
      name: "process_heap_bytes",
      help: "JavaScript heap in use.",
      registers: [this.registry],
      collect() {
        this.set(Deno.memoryUsage().heapUsed);
      },
    });
  }

  #counts<L extends string>(name: string, help: string): CountFamily<L> {
    return new CountFamily<L>(this.registry, `dsproxy_${name}`, help);
  }
  #sampled(name: string, help: string, sample: () => number | Promise<number>): void {
    new Gauge({
      name: `dsproxy_${name}`,
      help,
      registers: [this.registry],
      async collect() {
        try {
          this.set(await sample());
        } catch {
          // The other metrics are wanted most when something is down.
        }
      },
    });
  }
}
