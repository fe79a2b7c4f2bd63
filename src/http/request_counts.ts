/** Counts answers by route, method and status, and how long they took. */
import type { CountSeries, DurationSeries } from "../telemetry/families.ts";
import type { Metrics } from "../telemetry/metrics.ts";

const KNOWN_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

interface RouteSeries {
  readonly duration: DurationSeries;
  /** They are kept by method, and then by status. */
  readonly requests: Map<string, Map<number, CountSeries>>;
}

export class RequestCounts {
  readonly #routes = new Map<string, RouteSeries>();

  constructor(private readonly metrics: Pick<Metrics, "httpRequests" | "httpDuration">) {}

  /**
   * @param route the path of a resource, or one name for all that are none
   * @param traceId of the trace that has the request, if one is recorded
   */
  count(
    route: string,
    method: string,
    status: number,
    durationMs: number,
    traceId?: string,
  ): void {
    const { duration, requests } = this.#routes.get(route) ?? this.#add(route);
    (requests.get(method)?.get(status) ?? this.#addRequests(route, requests, method, status)).inc();
    duration.observe(durationMs / 1000, traceId);
  }

  #add(route: string): RouteSeries {
    const duration = this.metrics.httpDuration.series({ route });
    const added = { duration, requests: new Map() };
    this.#routes.set(route, added);
    return added;
  }

  #addRequests(
    route: string,
    requests: RouteSeries["requests"],
    method: string,
    status: number,
  ): CountSeries {
    // A label must not take whatever a client invents.
    const known = KNOWN_METHODS.has(method) ? method : "other";
    const series = this.metrics.httpRequests.series({ route, method: known, code: status });
    if (known !== method) return series;
    const byStatus = requests.get(method) ?? new Map<number, CountSeries>();
    requests.set(method, byStatus.set(status, series));
    return series;
  }
}
