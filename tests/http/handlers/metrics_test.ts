import assert from "node:assert/strict";
import { metricsHandler } from "../../../src/http/handlers/metrics.ts";
import { idleMetrics } from "../../support/fakes.ts";

const PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0," +
  "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
  "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4," +
  "text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/** What is answered to each header; undefined: to none at all. */
const FORMS: readonly [accept: string | undefined, form: "classic" | "OpenMetrics"][] = [
  [undefined, "classic"],
  ["*/*", "classic"],
  ["text/html,application/xhtml+xml,*/*;q=0.8", "classic"],
  ["text/plain", "classic"],
  [PROMETHEUS_2, "OpenMetrics"],
  [PROMETHEUS_3, "OpenMetrics"],
  ["Application/OpenMetrics-Text", "OpenMetrics"],
  ["application/openmetrics-text;q=0.3, text/plain", "classic"],
  ["application/openmetrics-text;q=0, */*", "classic"],
  ["application/openmetrics-text;q=much", "classic"],
];

Deno.test("OpenMetrics is for who names it and likes nothing better", async () => {
  const handler = metricsHandler(idleMetrics());
  for (const [accept, form] of FORMS) {
    const headers = accept === undefined ? undefined : { accept };
    const request = new Request("http://localhost/metrics", { ...(headers && { headers }) });
    const response = await handler({ request, query: "", pathParameter: "", door: "network" });
    const type = response.headers.get("content-type");
    const isOpen = type === "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert.equal(isOpen ? "OpenMetrics" : "classic", form, `${accept}: ${type}`);
    assert.equal((await response.text()).endsWith("# EOF\n"), isOpen, `${accept}`);
  }
});
