/**
 * A receiver of OTLP over HTTP. It keeps the spans that it is sent as JSON; what comes as protobuf
 * it takes, and keeps as text.
 */
import assert from "node:assert/strict";
import { eventually } from "./dsproxy.ts";

export interface ReceivedSpan {
  /** The process that told it. */
  readonly instance: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  /** Both are in Unix milliseconds. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly isError: boolean;
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string };
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly OtlpAttribute[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code?: number };
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

export class OtlpReceiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  /** All that came, as it came, a byte a character. */
  text = "";
  /** The fields of the last request. */
  headers: Readonly<Record<string, string>> = {};
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(port = 0) {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port, onListen: () => {} },
      (request) => this.#take(request),
    );
  }

  /** As OTEL_EXPORTER_OTLP_ENDPOINT names it. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** The settings of a program that tells this receiver of all it does. */
  get settings(): Readonly<Record<string, string>> {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: this.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_TRACES_SAMPLER: "parentbased_always_off",
    };
  }

  /** The spans of one trace, once there are so many of this name in it. */
  async trace(traceId: string, name: string, count = 1): Promise<readonly ReceivedSpan[]> {
    const all = () => this.spans.filter((span) => span.traceId === traceId);
    const named = () => all().filter((span) => span.name === name).length;
    await eventually(`${count} ${name} in a trace`, () => Promise.resolve(named() >= count));
    return all();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #take(request: Request): Promise<Response> {
    assert.equal(new URL(request.url).pathname, "/v1/traces");
    const bytes = await request.bytes();
    this.text += new TextDecoder("latin1").decode(bytes);
    this.headers = Object.fromEntries(request.headers);
    if (this.headers["content-type"] === "application/x-protobuf") return new Response();
    const { resourceSpans } = JSON.parse(new TextDecoder().decode(bytes)) as OtlpRequest;
    for (const { resource, scopeSpans } of resourceSpans) {
      const instance = String(attributesOf(resource.attributes)["service.instance.id"]);
      const spans = scopeSpans.flatMap((scope) => scope.spans);
      this.spans.push(...spans.map((span) => received(instance, span)));
    }
    return Response.json({});
  }
}

function received(instance: string, span: OtlpSpan): ReceivedSpan {
  const { traceId, spanId, parentSpanId = "", name, kind, attributes = [], links = [] } = span;
  return {
    ...{ instance, traceId, spanId, parentSpanId, name, kind },
    startMs: Number(span.startTimeUnixNano) / 1e6,
    endMs: Number(span.endTimeUnixNano) / 1e6,
    attributes: attributesOf(attributes),
    links: links.map((link) => ({ traceId: link.traceId, spanId: link.spanId })),
    isError: span.status?.code === 2,
  };
}

function attributesOf(attributes: readonly OtlpAttribute[]): Record<string, string | number> {
  return Object.fromEntries(attributes.map(({ key, value }) => {
    const { stringValue, intValue } = value;
    return [key, stringValue ?? Number(intValue)];
  }));
}

/** A caller's header field, with a trace of its own. */
export function newTraceparent({ sampled = true } = {}): { traceId: string; field: string } {
  const traceId = crypto.getRandomValues(new Uint8Array(16)).toHex();
  const spanId = crypto.getRandomValues(new Uint8Array(8)).toHex();
  return { traceId, field: `00-${traceId}-${spanId}-${sampled ? "01" : "00"}` };
}
