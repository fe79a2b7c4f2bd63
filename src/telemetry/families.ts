/**
 * Has the metric families that every request counts in. Their series are looked up once and kept by
 * whoever counts; prom-client, which would hash the labels at each call, reads them at a scrape.
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

/** One series: how often each bucket was hit, and the sum of what was observed. */
export class DurationSeries {
  readonly hits: number[];
  sumSeconds = 0;

  constructor(private readonly bounds: readonly number[]) {
    this.hits = new Array(bounds.length + 1).fill(0);
  }

  observe(seconds: number): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && seconds > bounds[bucket]!) bucket++;
    this.hits[bucket]!++;
    this.sumSeconds += seconds;
  }
}

/** What both kinds of families have in common: series by their labels. */
abstract class Family<L extends string, S> {
  abstract readonly type: "counter" | "histogram";
  readonly #series = new Map<string, { readonly labels: Labels<L>; readonly series: S }>();

  /** The name has to be writable: the registry writes another one for OpenMetrics. */
  constructor(registry: Registry, public name: string, readonly help: string) {
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
    const buckets = [...this.bounds, "+Inf"].map((le, i): Value => ({
      metricName: `${this.name}_bucket`,
      labels: { ...labels, le },
      value: count += series.hits[i]!,
    }));
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: series.sumSeconds },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
