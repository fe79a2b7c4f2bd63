/** The program, followed as spans by a receiver of OTLP. */
import assert from "node:assert/strict";
import { setUp } from "../scaled/layout.ts";
import { Dsproxy, eventually } from "../support/dsproxy.ts";
import { newTraceparent, OtlpReceiver, type ReceivedSpan } from "../support/otlp_receiver.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { createDatabase } from "../support/postgres.ts";
import { sharedRedisUrl } from "../support/redis.ts";
import { freePort } from "../support/services.ts";

const USER = "a-user-whom-nobody-names";
const VALUE = "a-value-that-stays-where-it-is";

/** Writes as a caller who has a trace of its own. */
async function write(server: Dsproxy, traceparent: string, query = ""): Promise<void> {
  const response = await fetch(`${server.url}/write${query}`, {
    method: "POST",
    headers: { traceparent },
    body: JSON.stringify({ user_id: USER, value: VALUE }),
  });
  assert.equal(await response.text(), query === "" ? "accepted" : "flushed");
}

function one(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.filter((span) => span.name === name);
  assert.equal(found.length, 1, `${found.length} ${name}: ${JSON.stringify(spans)}`);
  return found[0]!;
}

function assertNothingPrivate({ text }: OtlpReceiver): void {
  assert.ok(!text.includes(USER), "a user id was told");
  assert.ok(!text.includes(VALUE), "a value was told");
}

Deno.test("one trace goes from POST to COMMIT, through API server, broker and worker", async () => {
  await using receiver = new OtlpReceiver();
  await using set = await setUp("rabbitmq", 1, 1, receiver.settings);
  const server = set.layout.servers[0]!.process;
  const { traceId, field } = newTraceparent();
  await write(server, field);
  const spans = await receiver.trace(traceId, "INSERT user_data");
  const request = one(spans, "POST /write");
  assert.deepEqual([request.kind, request.attributes["http.response.status_code"]], [2, 202]);
  assert.equal(one(spans, "journal commit").parentSpanId, request.spanId);
  const send = spans.find(({ kind }) => kind === 4)!;
  assert.equal(send.parentSpanId, request.spanId);
  assert.equal(send.attributes["messaging.system"], "rabbitmq");
  const process = (await receiver.trace(traceId, send.name.replace("send", "process")))
    .find(({ kind }) => kind === 5)!;
  assert.equal(process.parentSpanId, send.spanId);
  assert.notEqual(process.instance, request.instance);
  const insert = one(spans, "INSERT user_data");
  assert.deepEqual([insert.parentSpanId, insert.kind], [process.spanId, 3]);
  assert.equal(insert.attributes["db.system.name"], "postgresql");
  const batch = insert.links[0]!;
  const flush = one(await receiver.trace(batch.traceId, "flush"), "flush");
  assert.equal(flush.spanId, batch.spanId);
  assert.deepEqual(flush.links, [{ traceId, spanId: process.spanId }]);
  const below = await receiver.trace(batch.traceId, "fold marks");
  assert.equal(one(below, "fold marks").parentSpanId, flush.spanId);
  assertNothingPrivate(receiver);
  for (const place of set.layout.places) await place.stop();
});

Deno.test("a trace survives a crash before the flush, and tells of an outage of the database", async () => {
  await using receiver = new OtlpReceiver();
  const database = await createDatabase();
  await using proxy = FaultProxy.to(Number(new URL(database.url).port));
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-traced-" });
  const settings = {
    ...receiver.settings,
    DATA_DIR: dataDir,
    DATABASE_URL: proxy.urlOf(database.url),
    REDIS_URL: sharedRedisUrl(),
    CACHE_PREFIX: `test-${crypto.randomUUID()}:`,
  };
  try {
    await using before = await Dsproxy.start({ ...settings, BATCH_INTERVAL: "1h" });
    await readsAreTold(before, receiver);
    const crashed = newTraceparent();
    await write(before, crashed.field);
    const accepted = await receiver.trace(crashed.traceId, "POST /write");
    await before.kill();
    await using server = await Dsproxy.start({ ...settings, BATCH_INTERVAL: "200ms" });
    const spans = await receiver.trace(crashed.traceId, "INSERT user_data");
    const insert = one(spans, "INSERT user_data");
    assert.equal(insert.parentSpanId, one(accepted, "POST /write").spanId);
    assert.notEqual(insert.instance, accepted[0]!.instance);
    const batch = await receiver.trace(insert.links[0]!.traceId, "flush");
    assert.equal(one(batch, "EVALSHA").attributes["db.system.name"], "redis");
    await onlyWhatIsSampledIsTold(server, receiver);
    await anOutageIsTold(server, receiver, proxy);
    assertNothingPrivate(receiver);
    await server.stop();
  } finally {
    await database.drop();
    await Deno.remove(dataDir, { recursive: true });
  }
});

async function readsAreTold(server: Dsproxy, receiver: OtlpReceiver): Promise<void> {
  const { traceId, field } = newTraceparent();
  const path = `/read?user_id=nobody-${crypto.randomUUID()}`;
  const response = await fetch(server.url + path, { headers: { traceparent: field } });
  assert.equal(response.status, 404, await response.text());
  const spans = await receiver.trace(traceId, "GET /read");
  const request = one(spans, "GET /read");
  assert.equal(request.attributes["url.path"], "/read");
  for (const name of ["GET", "SELECT user_data"]) {
    assert.equal(one(spans, name).parentSpanId, request.spanId, name);
  }
  assert.ok(!receiver.text.includes("nobody-"), "the user of a read was told");
}

async function onlyWhatIsSampledIsTold(server: Dsproxy, receiver: OtlpReceiver): Promise<void> {
  const count = () => receiver.spans.filter(({ name }) => name === "POST /write").length;
  const before = count();
  const unsampled = newTraceparent({ sampled: false });
  await write(server, unsampled.field);
  for (const invalid of ["", "00-abc-def-01", `00-${"0".repeat(32)}-${"1".repeat(16)}-01`]) {
    await write(server, invalid);
  }
  await server.accept({ user_id: USER, value: VALUE });
  const last = newTraceparent();
  await write(server, last.field, "?ack=flushed");
  await receiver.trace(last.traceId, "POST /write");
  assert.equal(count(), before + 1);
  const others = receiver.spans.filter(({ traceId }) => traceId === unsampled.traceId);
  assert.deepEqual(others, []);
}

async function anOutageIsTold(
  server: Dsproxy,
  receiver: OtlpReceiver,
  proxy: FaultProxy,
): Promise<void> {
  const { traceId, field } = newTraceparent();
  proxy.weather = "refuse";
  proxy.cut();
  await write(server, field);
  const [failed] = (await receiver.trace(traceId, "INSERT user_data"))
    .filter(({ name }) => name === "INSERT user_data");
  assert.ok(failed!.isError);
  assert.match(String(failed!.attributes["error.type"]), /^Store\w+Error$/);
  proxy.weather = "pass";
  await eventually("an INSERT after the outage", () => {
    const all = receiver.spans.filter((span) => span.traceId === traceId && span.kind === 3);
    return Promise.resolve(all.some(({ isError }) => !isError));
  });
}

Deno.test("while the receiver is away writes go on, which is told once, and spans are counted", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-untold-" });
  const port = freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await using server = await Dsproxy.start({
      DATA_DIR: dataDir,
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20secret",
    });
    const lines = (message: string) => server.log.split(message).length - 1;
    await server.accept({ user_id: USER, value: VALUE });
    await eventually(
      "failed spans",
      async () => await server.metric('dsproxy_spans_total{outcome="failed"}') > 0,
    );
    await server.accept({ user_id: USER, value: VALUE });
    await using receiver = new OtlpReceiver(port);
    await eventually("exported spans", async () => {
      await server.accept({ user_id: USER, value: VALUE });
      return await server.metric('dsproxy_spans_total{outcome="exported"}') > 0;
    });
    assert.equal(receiver.headers.authorization, "Bearer secret");
    assert.equal(receiver.headers["content-type"], "application/x-protobuf");
    assert.ok(receiver.text.includes("POST /write"), "no span of the request");
    assert.equal(lines("Spans cannot be exported"), 1, server.log);
    assert.equal(lines("Spans are exported again"), 1, server.log);
    assert.ok(!server.log.includes("secret"), server.log);
    await server.stop();
    assertNothingPrivate(receiver);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
