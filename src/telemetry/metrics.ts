/**
 * Has every metric of the service, by the names of the public contract. An application has one
 * instance, and there is no global registry.
 */
import { ClusterMetrics, SECONDS_BUCKETS } from "./cluster_metrics.ts";
import { expose } from "./exposition.ts";
import { CountFamily, DurationFamily } from "./families.ts";
import { type Gauges, registerGauges } from "./gauges.ts";
import { registerProcess } from "./process_metrics.ts";
import { VERSION } from "../version.ts";

const ROWS_BUCKETS = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];

/** Refusals at a limit, and while something is away, are known by these codes of problems. */
const SHED_REASONS = [
  "body-too-large",
  "journal-failed",
  "not-ready",
  "overloaded",
  "queue-full",
  "shutting-down",
  "store-unavailable",
  "write-not-stored",
];

export class Metrics extends ClusterMetrics {
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
  readonly flushDuration = this.durations(
    "flush_duration_seconds",
    "Time of one flush to the store.",
  );
  readonly flushLastSuccess = this.moment(
    "flush_last_success_timestamp_seconds",
    "When the store took a flush last, since the Unix epoch; there is no series before the first.",
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
  readonly fsyncDuration = this.durations(
    "journal_fsync_duration_seconds",
    "Time of one journal fsync.",
  );
  readonly journalFailures = this.counter(
    "journal_failures_total",
    "Times that the journal gave up, as something could not be made durable: no write is accepted " +
      "then until the instance is started anew.",
  );
  readonly journalFaults = this.counter(
    "journal_faults_total",
    "What the journal failed to do and tries again: a write to a full disk, a checkpoint, the " +
      "removal of a segment.",
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
  readonly paused = this.gauge(
    "paused",
    "1 while a person keeps this instance from bringing writes to the store, else 0.",
  );
  readonly viewers = this.gauge(
    "viewers",
    "Streams of /events that are open: pages of the dashboard.",
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
  readonly #loopDelay = this.durations(
    "event_loop_delay_seconds",
    "The same of each second, so that what was between two scrapes is seen.",
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
    for (const code of [202, 503]) {
      this.httpRequests.series({ route: "/write", method: "POST", code });
    }
    for (const code of [200, 503]) {
      this.httpRequests.series({ route: "/read", method: "GET", code });
    }
    for (const reason of SHED_REASONS) this.shed.inc({ reason }, 0);
    registerGauges(this.registry, gauges);
    this.gauge("build_info", "Always 1; the labels say what runs.", ["version", "deno"])
      .set({ version: VERSION, deno: Deno.version.deno }, 1);
    registerProcess(this.registry, startedMs);
  }

  recordLoopLag(seconds: number): void {
    this.#loopLag.set(seconds);
    this.#loopDelay.observe(seconds);
  }

  /** Returns the exposition text, in the classic format or in that of OpenMetrics. */
  expose(openMetrics: boolean): Promise<{ contentType: string; text: string }> {
    return expose(this.registry, openMetrics);
  }

  #counts<L extends string>(name: string, help: string): CountFamily<L> {
    return new CountFamily<L>(this.registry, `dsproxy_${name}`, help);
  }
}
