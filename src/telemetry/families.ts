/**
 * Has the metric families that every request counts in, and those of all that takes time. Their
 * series are looked up once and kept by whoever counts, where prom-client would hash the labels at
 * each call.
 */
import type { Metric, MetricObjectWithValues, MetricValue, Registry } from "prom-client";

type Labels<L extends string> = Readonly<Record<L, string | number>>;

/** One series: its count never goes down. */
export class CountSeries {
  count = 0;

  inc(): void {
    this.count++;
  }
}

/** An observation whose trace was recorded: it stands for its bucket. */
interface Exemplar {
  readonly traceId: string;
  readonly seconds: number;
  readonly atMs: number;
}

/** One series: how often each bucket was hit, and the sum of what was observed. */
export class DurationSeries {
  readonly hits: number[];
  sumSeconds = 0;
  /** The last one of each bucket; there is no list before the first. */
  exemplars: (Exemplar | undefined)[] | undefined;

  /** @param bounds the upper ones of the buckets in seconds, ascending; one more has the rest */
  constructor(readonly bounds: readonly number[]) {
    this.hits = new Array(bounds.length + 1).fill(0);
  }

  /** @param traceId of the trace that has it, if one was recorded: 32 hexadecimal digits */
  observe(seconds: number, traceId?: string): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && seconds > bounds[bucket]!) bucket++;
    this.hits[bucket]!++;
    this.sumSeconds += seconds;
    if (traceId === undefined) return;
    (this.exemplars ??= [])[bucket] = { traceId, seconds, atMs: Date.now() };
  }
}

/** What both kinds of families have in common: series by their labels. */
abstract class Family<L extends string, S> {
  abstract readonly type: "counter" | "histogram";
  readonly #series = new Map<string, { readonly labels: Labels<L>; readonly series: S }>();

  constructor(registry: Registry, readonly name: string, readonly help: string) {
    // The package's type names its own classes, while its registry asks for no more than this.
    registry.registerMetric(this as unknown as Metric<L>);
  }

  /** Returns the series with these labels, which is there from then on. */
  series(labels: Labels<L>): S {
    const key = JSON.stringify(Object.values(labels));
    let found = this.#series.get(key);
    if (found === undefined) this.#series.set(key, found = { labels, series: this.makeSeries() });
    return found.series;
  }

  /** The registry asks for this at a scrape. */
  get(): Promise<MetricObjectWithValues<MetricValue<string>>> {
    const values = [...this.#series.values()].flatMap(({ labels, series }) =>
      this.valuesOf({ ...labels }, series)
    );
    const { name, help, type } = this;
    return Promise.resolve({ name, help, type, aggregator: "sum", values } as never);
  }

  protected abstract makeSeries(): S;
  protected abstract valuesOf(labels: Record<string, string | number>, series: S): Value[];
}

interface Value extends MetricValue<string> {
  readonly metricName?: string;
  readonly exemplar?: ShownExemplar;
}

/** The package has it like this, too. */
export interface ShownExemplar {
  readonly labelSet: Readonly<Record<string, string>>;
  readonly value: number;
  /** Unix seconds. */
  readonly timestamp: number;
}

function shown({ traceId, seconds, atMs }: Exemplar): ShownExemplar {
  return { labelSet: { trace_id: traceId }, value: seconds, timestamp: atMs / 1000 };
}

export class CountFamily<L extends string> extends Family<L, CountSeries> {
  readonly type = "counter";

  protected makeSeries(): CountSeries {
    return new CountSeries();
  }

  protected valuesOf(labels: Record<string, string | number>, { count }: CountSeries): Value[] {
    return [{ labels, value: count }];
  }
}

export class DurationFamily<L extends string> extends Family<L, DurationSeries> {
  readonly type = "histogram";

  /** @param bounds the upper ones of the buckets in seconds, ascending */
  constructor(registry: Registry, name: string, help: string, readonly bounds: readonly number[]) {
    super(registry, name, help);
  }

  protected makeSeries(): DurationSeries {
    return new DurationSeries(this.bounds);
  }

  protected valuesOf(labels: Record<string, string | number>, series: DurationSeries): Value[] {
    let count = 0;
    const buckets = [...this.bounds, "+Inf"].map((le, i): Value => {
      const exemplar = series.exemplars?.[i];
      return {
        metricName: `${this.name}_bucket`,
        labels: { ...labels, le },
        value: count += series.hits[i]!,
        ...exemplar !== undefined && { exemplar: shown(exemplar) },
      };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: series.sumSeconds },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
