import assert from "node:assert/strict";
import { assertProblem, configOf } from "./loading.ts";

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

Deno.test("nothing is traced until a receiver is named, or where it is switched off", () => {
  for (
    const env of [
      { OTEL_TRACES_SAMPLER: "always_on" },
      { ...ENDPOINT, OTEL_SDK_DISABLED: "true" },
      { ...ENDPOINT, OTEL_TRACES_EXPORTER: "none" },
    ]
  ) {
    assert.equal(configOf(env).tracing, undefined, JSON.stringify(env));
  }
});

Deno.test("a receiver alone is enough, and all else has the defaults of OpenTelemetry", () => {
  assert.deepEqual(configOf(ENDPOINT).tracing, {
    url: "http://collector:4318/v1/traces",
    headers: {},
    protocol: "http/protobuf",
    serviceName: "dsproxy",
    resource: {},
    sampler: "parentbased_always_on",
    ratio: 1,
  });
});

Deno.test("what is given is taken as OpenTelemetry writes it", () => {
  const { tracing } = configOf({
    OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector/base/",
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20abc%3D, x-tenant = one ",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test,k8s.pod.name=p-1,",
    OTEL_SERVICE_NAME: "writes",
    OTEL_TRACES_SAMPLER: "traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.01",
  });
  assert.equal(tracing?.url, "https://collector/base/v1/traces");
  assert.deepEqual(tracing?.headers, { "authorization": "Bearer abc=", "x-tenant": "one" });
  assert.deepEqual(tracing?.resource, {
    "deployment.environment.name": "test",
    "k8s.pod.name": "p-1",
  });
  assert.deepEqual([tracing?.sampler, tracing?.ratio], ["traceidratio", 0.01]);
  const whole = configOf({ ...ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://other/in" });
  assert.equal(whole.tracing?.url, "http://other/in");
});

Deno.test("what cannot be done is refused with what to do instead", () => {
  const cases: readonly [string, string, RegExp][] = [
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", /use http\/protobuf/],
    ["OTEL_EXPORTER_OTLP_PROTOCOL", "thrift", /choose http\/protobuf, http\/json/],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", /http:\/\/localhost:4318/],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@collector", /OTEL_EXPORTER_OTLP_HEADERS/],
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@collector", /^(?!.*secret)/],
    ["OTEL_TRACES_EXPORTER", "zipkin", /otlp, none/],
    ["OTEL_TRACES_SAMPLER", "jaeger_remote", /parentbased_traceidratio/],
    ["OTEL_TRACES_SAMPLER_ARG", "1.5", /from 0 to 1/],
    ["OTEL_TRACES_SAMPLER_ARG", "often", /from 0 to 1/],
    ["OTEL_EXPORTER_OTLP_HEADERS", "no-value", /name=value/],
    ["OTEL_RESOURCE_ATTRIBUTES", "a=%zz", /name=value/],
    ["OTEL_SDK_DISABLED", "yes", /true, false/],
  ];
  for (const [name, value, message] of cases) assertProblem({ [name]: value }, message);
});
