/**
 * Writes what a registry has as text: in Prometheus' classic format, or as OpenMetrics, which has
 * units and exemplars. prom-client can write both, but for OpenMetrics it changes the metrics
 * themselves, and leaves out the units.
 */
import type { MetricObjectWithValues, MetricValue, Registry } from "prom-client";
import type { ShownExemplar } from "./families.ts";

interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/** What a metric of the package, or one of ours, tells at a scrape. */
type Told = Omit<MetricObjectWithValues<MetricValue<string>>, "values"> & {
  readonly values: readonly Sample[];
};
type Sample = MetricValue<string> & {
  readonly metricName?: string;
  readonly exemplar?: ShownExemplar | null;
};

const CLASSIC = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/** In OpenMetrics a unit is a metadatum, too, and the last word of the name has to be it. */
const UNIT = /_(seconds|bytes)$/;

export async function expose(registry: Registry, openMetrics: boolean): Promise<Exposition> {
  // The package's type of the list is that of what its metrics tell.
  const metrics = registry.getMetricsAsArray() as unknown as { get(): Promise<Told> }[];
  const told = await Promise.all(metrics.map((metric) => metric.get()));
  if (!openMetrics) {
    return { contentType: CLASSIC, text: told.map(classic).join("") };
  }
  return { contentType: OPEN_METRICS, text: `${told.map(open).join("")}# EOF\n` };
}

function classic({ name, help, type, values }: Told): string {
  let text = `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n`;
  for (const { metricName = name, labels, value } of values) {
    text += `${metricName}${labelText(labels, String)} ${numberText(value)}\n`;
  }
  return text;
}

function open({ name, help, type, values }: Told): string {
  // There the family of a counter is called by what is counted, and its samples end in `_total`.
  const family = String(type) === "counter" ? name.replace(/_total$/, "") : name;
  const unit = UNIT.exec(family)?.[1];
  let text = `# TYPE ${family} ${type}\n`;
  if (unit !== undefined) text += `# UNIT ${family} ${unit}\n`;
  text += `# HELP ${family} ${escaped(help).replaceAll('"', '\\"')}\n`;
  for (const { metricName = name, labels, value, exemplar } of values) {
    text += `${metricName}${labelText(labels, boundText)} ${numberText(value)}`;
    text += exemplar ? ` # ${exemplarText(exemplar)}\n` : "\n";
  }
  return text;
}

function exemplarText({ labelSet, value, timestamp }: ShownExemplar): string {
  return `${labelText(labelSet, String)} ${numberText(value)} ${timestamp}`;
}

/** @param bound writes the upper bound of a bucket */
function labelText(
  labels: Partial<Record<string, string | number>>,
  bound: (value: string | number) => string,
): string {
  let text = "";
  for (const name in labels) {
    const value = labels[name]!;
    const shown = name === "le"
      ? bound(value)
      : typeof value === "number"
      ? String(value)
      : escaped(value).replaceAll('"', '\\"');
    text += `${text === "" ? "{" : ","}${name}="${shown}"`;
  }
  return text === "" ? "" : `${text}}`;
}

/** OpenMetrics wants a bound to look like a number with a fraction, as `1.0`. */
function boundText(value: string | number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function numberText(value: number): string {
  return value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value);
}

function escaped(text: string): string {
  return /[\\\n]/.test(text) ? text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n") : text;
}
