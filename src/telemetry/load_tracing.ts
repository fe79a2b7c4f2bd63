/** Loads what tells spans, where the configuration says to whom. */
import type { ExportOptions, TracingParts } from "./export_options.ts";
import { Sampler, type SamplerOptions } from "./sampler.ts";
import type { Peers } from "./spans.ts";
import { NO_TRACING, type Tracing } from "./tracing.ts";

export interface TracingOptions extends ExportOptions, SamplerOptions {}

/** @param options undefined where nothing is traced, and nothing is loaded for it */
export async function loadTracing(
  options: TracingOptions | undefined,
  peers: Peers,
): Promise<(parts: TracingParts) => Tracing> {
  if (options === undefined) return () => NO_TRACING;
  const [{ otlpSpanMaker }, { Spans }] = await Promise.all([
    import("./otlp.ts"),
    import("./spans.ts"),
  ]);
  const makeMaker = await otlpSpanMaker(options);
  return (parts) => new Spans(makeMaker(parts), new Sampler(options, Math.random), peers);
}
