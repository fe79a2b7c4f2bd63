/** Says where spans go, and what is told of whoever sends them. */
import type { Clock } from "../ports/clock.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface ExportOptions {
  /** Spans are posted there. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly protocol: "http/protobuf" | "http/json";
  readonly serviceName: string;
  readonly resource: Readonly<Record<string, string>>;
}

export interface TracingParts {
  readonly clock: Pick<Clock, "setTimeout">;
  readonly metrics: Pick<Metrics, "spans">;
  readonly log: Pick<Log, "warn" | "info">;
}
