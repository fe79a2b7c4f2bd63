/**
 * The part of the table of options that says what is traced, and to whom that is told. The names
 * are those of OpenTelemetry, with their meaning.
 */
import type { Option } from "./option.ts";
import { oneOf, pathText } from "./parsers.ts";
import { maskUrl } from "./urls.ts";
import { keyValues, otlpProtocol, otlpUrl, ratio } from "./tracing_parsers.ts";

const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

export const TRACING_OPTIONS = {
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    parse: otlpUrl,
    mask: maskUrl,
    help:
      "receiver of traces by OTLP over HTTP, as in http://localhost:4318, to which /v1/traces " +
      "is added; default: nothing is traced",
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    parse: otlpUrl,
    mask: maskUrl,
    help: "the same as a whole URL, to which nothing is added; wins over the other",
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    parse: keyValues,
    secret: true,
    help: "header fields for the receiver, as in name=value,name=value",
  },
  OTEL_EXPORTER_OTLP_PROTOCOL: {
    parse: otlpProtocol,
    default: "http/protobuf",
    help: "http/protobuf or http/json",
  },
  OTEL_SERVICE_NAME: {
    parse: pathText,
    default: "dsproxy",
    help: "name of the service in traces",
  },
  OTEL_RESOURCE_ATTRIBUTES: {
    parse: keyValues,
    help: "what else traces say of this process, as in key=value,key=value",
  },
  OTEL_TRACES_EXPORTER: {
    parse: oneOf("otlp", "none"),
    default: "otlp",
    help: "otlp, or none: nothing is traced",
  },
  OTEL_TRACES_SAMPLER: {
    parse: oneOf(...SAMPLERS),
    default: "parentbased_always_on",
    help: `which requests are traced: ${SAMPLERS.join(", ")}`,
  },
  OTEL_TRACES_SAMPLER_ARG: {
    parse: ratio,
    default: "1",
    help: "part of the requests that a traceidratio samples, 0 to 1: 0.01 is one of a hundred",
  },
  OTEL_SDK_DISABLED: {
    parse: oneOf("true", "false"),
    default: "false",
    help: "true: nothing is traced",
  },
} as const satisfies Record<string, Option>;
