/**
 * Makes spans with OpenTelemetry's SDK, and exports them by OTLP over HTTP. It is loaded only where
 * something is traced: the packages take as much memory as a driver of a database.
 */
import { ROOT_CONTEXT, SpanKind as SdkKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { Span as SdkSpan, SpanContext, Tracer } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { type ReadableSpan, type SpanExporter, TracerProvider } from "@opentelemetry/sdk-trace";
import type { TraceContext } from "../trace_context.ts";
import { VERSION } from "../version.ts";
import { type Attributes, ERROR_TYPE } from "./semantic_names.ts";
import { type Exporter, SpanQueue } from "./span_queue.ts";
import type { OpenSpan, SpanKind, SpanMaker, SpanOptions } from "./spans.ts";
import type { ExportOptions, TracingParts } from "./export_options.ts";

/** A call of the receiver, the exporter's own tries included, takes no longer. */
const EXPORT_LIMIT_MS = 5_000;
const SAMPLED = 1;

const KINDS: Readonly<Record<SpanKind, SdkKind>> = {
  internal: SdkKind.INTERNAL,
  server: SdkKind.SERVER,
  client: SdkKind.CLIENT,
  producer: SdkKind.PRODUCER,
  consumer: SdkKind.CONSUMER,
};

export async function otlpSpanMaker(
  options: ExportOptions,
): Promise<(parts: TracingParts) => SpanMaker> {
  const exporter = exporterOf(await loadExporter(options));
  return (parts) => {
    const queue = new SpanQueue<ReadableSpan>({ ...parts, exporter });
    return new OtlpSpanMaker(tracerInto(queue, options), queue);
  };
}

function tracerInto(queue: SpanQueue<ReadableSpan>, options: ExportOptions): Tracer {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.version": VERSION,
      "service.instance.id": crypto.randomUUID(),
      ...options.resource,
      "service.name": options.serviceName,
    }),
    spanProcessors: [{
      onStart: () => {},
      onEnd: (span) => queue.add(span),
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    }],
  });
  return provider.getTracer("dsproxy", VERSION);
}

async function loadExporter({ url, headers, protocol }: ExportOptions): Promise<SpanExporter> {
  const { OTLPTraceExporter } = protocol === "http/json"
    ? await import("@opentelemetry/exporter-trace-otlp-http")
    : await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: EXPORT_LIMIT_MS });
}

function exporterOf(exporter: SpanExporter): Exporter<ReadableSpan> {
  return {
    export: (spans, done) =>
      exporter.export(spans, ({ code, error }) => {
        // 0 is success.
        done(code === 0 ? undefined : error ?? new Error("The receiver does not say why"));
      }),
    close: () => exporter.shutdown(),
  };
}

class OtlpSpanMaker implements SpanMaker {
  constructor(
    private readonly tracer: Tracer,
    private readonly queue: SpanQueue<ReadableSpan>,
  ) {}

  begin(name: string, kind: SpanKind, options: SpanOptions = {}): OpenSpan {
    const { parent, links = [], attributes = {} } = options;
    const context = parent === undefined
      ? ROOT_CONTEXT
      : trace.setSpanContext(ROOT_CONTEXT, remote(parent));
    return new OtlpSpan(this.tracer.startSpan(
      name,
      {
        kind: KINDS[kind],
        attributes: { ...attributes },
        links: links.map((link) => ({ context: remote(link) })),
      },
      context,
    ));
  }

  refuses(): boolean {
    if (!this.queue.isFull) return false;
    this.queue.drop(1);
    return true;
  }

  stop(): Promise<void> {
    return this.queue.stop();
  }
}

function remote({ traceId, spanId }: TraceContext): SpanContext {
  return { traceId, spanId, traceFlags: SAMPLED, isRemote: true };
}

class OtlpSpan implements OpenSpan {
  readonly context: TraceContext;

  constructor(private readonly span: SdkSpan) {
    const { traceId, spanId } = span.spanContext();
    this.context = { traceId, spanId };
  }

  set(attributes: Attributes): void {
    this.span.setAttributes({ ...attributes });
  }

  fail(errorType: string): void {
    this.span.setAttribute(ERROR_TYPE, errorType);
    this.span.setStatus({ code: SpanStatusCode.ERROR });
  }

  end(): void {
    this.span.end();
  }
}
