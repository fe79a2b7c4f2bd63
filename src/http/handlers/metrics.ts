/** `GET /metrics` is for Prometheus, and for who reads OpenMetrics. */
import type { Handler } from "../handler.ts";
import { headerField } from "../header_field.ts";
import type { Metrics } from "../../telemetry/metrics.ts";

export function metricsHandler(metrics: Metrics): Handler {
  return async ({ request }) => {
    const wanted = wantsOpenMetrics(headerField(request, "accept") ?? "");
    const { contentType, text } = await metrics.expose(wanted);
    return new Response(text, { headers: { "content-type": contentType } });
  };
}

/**
 * Says whether OpenMetrics is named, and no other form is liked better: to who takes anything, a
 * browser among them, the classic format is given. Prometheus names each version of a form, with
 * parameters that are still being added to, so that only the form itself is compared.
 */
function wantsOpenMetrics(accept: string): boolean {
  let [open, classic] = [0, 0];
  for (const range of accept.split(",")) {
    const [form, ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? "1";
    if (form === "application/openmetrics-text") open = Math.max(open, Number(quality));
    if (form === "text/plain") classic = Math.max(classic, Number(quality));
  }
  return open > 0 && open >= classic;
}
