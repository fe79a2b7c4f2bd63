import assert from "node:assert/strict";
import { Sampler } from "../../src/telemetry/sampler.ts";
import type { Attributes } from "../../src/telemetry/semantic_names.ts";
import { LINKS_MAX, type OpenSpan, type SpanMaker, Spans } from "../../src/telemetry/spans.ts";
import type { SpanOptions } from "../../src/telemetry/spans.ts";
import { NO_TRACING, toldFlush } from "../../src/telemetry/tracing.ts";
import type { TraceContext } from "../../src/trace_context.ts";

class FakeSpan implements OpenSpan {
  readonly context: TraceContext;
  readonly attributes: Record<string, string | number>;
  errorType: string | undefined;
  hasEnded = false;

  constructor(readonly name: string, number: number, readonly options: SpanOptions) {
    this.attributes = { ...options.attributes };
    this.context = { traceId: options.parent?.traceId ?? `root${number}`, spanId: `s${number}` };
  }

  set(attributes: Attributes): void {
    Object.assign(this.attributes, attributes);
  }
  fail(errorType: string): void {
    this.errorType = errorType;
  }
  end(): void {
    assert.ok(!this.hasEnded, `${this.name} ended twice`);
    this.hasEnded = true;
  }
}

class FakeMaker implements SpanMaker {
  readonly spans: FakeSpan[] = [];
  isFull = false;

  begin(name: string, _kind: string, options: SpanOptions = {}): FakeSpan {
    const span = new FakeSpan(name, this.spans.length, options);
    this.spans.push(span);
    return span;
  }
  refuses(): boolean {
    return this.isFull;
  }
  stop(): Promise<void> {
    return Promise.resolve();
  }
}

function setUp(broker = true) {
  const maker = new FakeMaker();
  const sampler = new Sampler({ sampler: "always_on", ratio: 1 }, () => 0);
  const spans = new Spans(maker, sampler, {
    store: { system: "postgresql" },
    cacheSystem: "redis",
    broker: broker ? { system: "kafka", destination: "topic" } : undefined,
  });
  return { maker, spans };
}

function contexts(count: number): TraceContext[] {
  return Array.from({ length: count }, (_, i) => ({ traceId: `t${i}`, spanId: "s" }));
}

Deno.test("neither a path nor a method that clients invent is told, and no request of machines", () => {
  const { maker, spans } = setUp();
  spans.request(() => null, "BREW", undefined)!.answered(404);
  assert.equal(maker.spans[0]!.name, "HTTP");
  assert.deepEqual(maker.spans[0]!.attributes, {
    "http.request.method": "_OTHER",
    "url.scheme": "http",
    "http.response.status_code": 404,
  });
  assert.equal(maker.spans[0]!.errorType, undefined);
  spans.request(() => null, "GET", "/read")!.answered(503);
  assert.equal(maker.spans[1]!.errorType, "503");
  for (const route of ["/metrics", "/livez", "/readyz", "/healthz"]) {
    assert.equal(spans.request(() => null, "GET", route), undefined, route);
  }
  assert.equal(maker.spans.length, 2);
});

Deno.test("a batch links to a bounded number of writes, and says how many others it had", () => {
  const { maker, spans } = setUp();
  const flush = spans.flush(() => contexts(LINKS_MAX + 3), 5_000)!;
  const told = maker.spans[0]!;
  assert.deepEqual([told.name, told.options.links!.length], ["flush", LINKS_MAX]);
  assert.deepEqual(told.attributes, { "dsproxy.rows": 5_000, "dsproxy.unlinked_writes": 3 });
  // Beside the flush there is the transaction below it, and one in each write's own trace.
  assert.equal(maker.spans.length, LINKS_MAX + 2);
  const result = {};
  flush.stored(result);
  assert.equal(spans.flushOf(result), flush);
  assert.equal(spans.flushOf({}), undefined);
  flush.end();
  assert.ok(maker.spans.every(({ hasEnded }) => hasEnded));
});

Deno.test("nothing is made where nothing is sampled, or where there is no room", () => {
  const { maker, spans } = setUp();
  const entry = { userId: "u", value: "v", ts: 1, acceptedMs: 1, run: "r", seq: 1 };
  assert.equal(spans.flush(() => [], 10), undefined);
  assert.equal(spans.send([entry]), undefined);
  assert.equal(spans.process([entry]), undefined);
  maker.isFull = true;
  const sampled = { ...entry, trace: { traceId: "t", spanId: "s" } };
  assert.equal(spans.request(() => null, "GET", "/read"), undefined);
  assert.equal(spans.flush(() => contexts(1), 1), undefined);
  assert.equal(spans.send([sampled]), undefined);
  assert.equal(spans.process([sampled]), undefined);
  assert.deepEqual(maker.spans, []);
});

Deno.test("of a failure its kind is told, and not its text", () => {
  const { maker, spans } = setUp();
  const flush = spans.flush(() => contexts(1), 1)!;
  flush.failed(new TypeError("the value of ada is secret"));
  assert.ok(maker.spans.every(({ errorType, hasEnded }) => errorType === "TypeError" && hasEnded));
  assert.ok(!JSON.stringify(maker.spans).includes("ada"));
});

Deno.test("a worker goes on under the span that sent the write", () => {
  const { maker, spans } = setUp();
  const plain = { userId: "u", value: "v", ts: 1, acceptedMs: 1, run: "r", seq: 1 };
  const sampled = { ...plain, seq: 2, trace: { traceId: "t", spanId: "s" } };
  const send = spans.send([plain, sampled])!;
  const [sent] = maker.spans;
  assert.deepEqual(send.entries, [plain, { ...sampled, trace: sent!.context }]);
  assert.deepEqual(sent!.options.parent, sampled.trace);
  assert.equal(sent!.name, "send topic");
  send.confirmed();
  const process = spans.process(send.entries)!;
  assert.deepEqual(maker.spans[1]!.options.parent, sent!.context);
  assert.deepEqual(process.contexts, [maker.spans[1]!.context]);
  process.end();
  assert.ok(maker.spans.every(({ hasEnded }) => hasEnded));
});

Deno.test("a transaction is told as it went, and its result or failure passes", async () => {
  const { maker, spans } = setUp();
  const [trace] = contexts(1);
  const entry = { userId: "u", value: "v", ts: 1, acceptedMs: 1, run: "r", seq: 1, trace: trace! };
  const result = {};
  for (const tracing of [spans, NO_TRACING, undefined]) {
    assert.equal(await toldFlush(tracing, [entry], () => Promise.resolve(result)), result);
  }
  assert.deepEqual(maker.spans.map(({ errorType }) => errorType), Array(3).fill(undefined));
  const failing = () => Promise.reject(new RangeError("why"));
  await assert.rejects(toldFlush(spans, [entry], failing), RangeError);
  assert.deepEqual(
    maker.spans.slice(3).map(({ errorType }) => errorType),
    Array(3).fill("RangeError"),
  );
  assert.ok(maker.spans.every(({ hasEnded }) => hasEnded));
});
