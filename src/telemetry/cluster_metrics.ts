/**
 * Has the metrics of what several instances do together: flush slots, the leader's duties, the
 * audit. {@link Metrics} has them, too, with all the others.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { DurationFamily, type DurationSeries } from "./families.ts";
import { sampled } from "./gauges.ts";

export const SECONDS_BUCKETS = [
  0.0005,
  0.001,
  0.0025,
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
];

/** When something happened last. */
class Moment {
  unixSeconds: number | undefined;

  note(): void {
    this.unixSeconds = Date.now() / 1000;
  }
}

export abstract class ClusterMetrics {
  protected readonly registry = new Registry();

  readonly flushSlotWait = this.durations(
    "flush_slot_wait_seconds",
    "Time that a flush waited for its slot (FLUSH_SLOTS), before its own time began.",
  );
  readonly flushSlotsHeld = this.gauge(
    "flush_slots_held",
    "Slots for flushes that this process holds.",
  );
  readonly flushSlotFallbacks = this.counter(
    "flush_slot_fallbacks_total",
    "Flushes that were bounded in this process alone, as the shared slots could not be asked for.",
  );
  readonly retiredRows = this.counter(
    "retired_rows_total",
    "Rows that RETENTION deleted.",
  );
  readonly deadLetterRetries = this.counter(
    "dead_letter_retries_total",
    "Dead letters tried again by DEAD_LETTER_RETRY: they went in (stored), or were refused again.",
    ["outcome"],
  );
  readonly auditChecked = this.counter(
    "audit_checked_total",
    "Numbers of writes that audits at this instance compared with what the store has.",
  );
  readonly auditLost = this.counter(
    "audit_lost_total",
    "Numbers found missing by them, each counted once.",
  );
  readonly auditDoubled = this.counter(
    "audit_doubled_total",
    "Numbers found more than once by them, each counted once.",
  );
  readonly auditLastRun = this.moment(
    "audit_last_run_timestamp_seconds",
    "When an audit at this instance compared numbers last, since the Unix epoch; there is no " +
      "series before the first.",
  );
  readonly dutySteps = this.counter(
    "duty_steps_total",
    "Steps of the leader's duties at this instance, by duty: done (ok) or to be tried again (failed).",
    ["duty", "outcome"],
  );
  readonly adoptedWrites = this.counter(
    "adopted_writes_total",
    "Writes brought to the store out of journals of instances that are gone.",
  );
  readonly adoptionFailures = this.counter(
    "adoption_failures_total",
    "Looks at such a journal that failed, or found that it has to be left alone.",
  );

  protected counter<L extends string>(
    name: string,
    help: string,
    labelNames: L[] = [],
  ): Counter<L> {
    return new Counter({ name: `dsproxy_${name}`, help, labelNames, registers: [this.registry] });
  }
  protected gauge<L extends string>(name: string, help: string, labelNames: L[] = []): Gauge<L> {
    return new Gauge({ name: `dsproxy_${name}`, help, labelNames, registers: [this.registry] });
  }
  protected durations(name: string, help: string): DurationSeries {
    const family = new DurationFamily(this.registry, `dsproxy_${name}`, help, SECONDS_BUCKETS);
    return family.series({});
  }
  protected moment(name: string, help: string): Moment {
    const moment = new Moment();
    sampled(this.registry, `dsproxy_${name}`, help, () => moment.unixSeconds);
    return moment;
  }
  protected histogram<L extends string>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: L[] = [],
  ): Histogram<L> {
    return new Histogram({
      name: `dsproxy_${name}`,
      help,
      buckets,
      labelNames,
      registers: [this.registry],
    });
  }
}
