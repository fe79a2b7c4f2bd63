/** `GET /metrics` is for Prometheus, and for who reads OpenMetrics. */
import type { Handler } from "../handler.ts";
import { headerField } from "../header_field.ts";
import type { Metrics } from "../../telemetry/metrics.ts";

export function metricsHandler(metrics: Metrics): Handler {
  return async ({ request }) => {
    const openMetrics = headerField(request, "accept")?.includes("application/openmetrics-text") ??
      false;
    const { contentType, text } = await metrics.expose(openMetrics);
    return new Response(text, { headers: { "content-type": contentType } });
  };
}
