import assert from "node:assert/strict";
import { Counter, Histogram, Registry } from "prom-client";
import { CountFamily, DurationFamily } from "../../src/telemetry/families.ts";

const BOUNDS = [0.001, 0.01, 0.1];
const SECONDS = [0.0005, 0.001, 0.0011, 0.05, 0.1, 7];

/** The exposition of what `make` registers, in the classic format or that of OpenMetrics. */
async function exposed(make: (registry: Registry) => void, contentType: string): Promise<string> {
  const registry = new Registry();
  (registry as { setContentType(type: string): void }).setContentType(contentType);
  make(registry);
  return await registry.metrics();
}

for (const format of [Registry.PROMETHEUS_CONTENT_TYPE, Registry.OPENMETRICS_CONTENT_TYPE]) {
  Deno.test(`families are exposed as prom-client exposes its own: ${format}`, async () => {
    const ours = await exposed((registry) => {
      const requests = new CountFamily<"route" | "code">(registry, "requests_total", "Answered.");
      requests.series({ route: "/write", code: 202 }).inc();
      requests.series({ route: "/read", code: 200 });
      requests.series({ route: "/write", code: 202 }).inc();
      const duration = new DurationFamily<"route">(registry, "duration_seconds", "Time.", BOUNDS);
      for (const seconds of SECONDS) duration.series({ route: "/write" }).observe(seconds);
    }, format);
    const theirs = await exposed((registry) => {
      const registers = [registry];
      const labelNames = ["route", "code"];
      const requests = new Counter({
        name: "requests_total",
        help: "Answered.",
        labelNames,
        registers,
      });
      requests.inc({ route: "/write", code: 202 }, 2);
      requests.inc({ route: "/read", code: 200 }, 0);
      const duration = new Histogram({
        name: "duration_seconds",
        help: "Time.",
        buckets: BOUNDS,
        labelNames: ["route"],
        registers,
      });
      for (const seconds of SECONDS) duration.observe({ route: "/write" }, seconds);
    }, format);
    const sorted = (text: string) =>
      text.split("\n").map((line) =>
        line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(",").sort().join(",")}}`)
      ).join("\n");
    assert.equal(sorted(ours), sorted(theirs));
  });
}

Deno.test("a series that is asked for twice is the same one", () => {
  const family = new CountFamily<"ack">(new Registry(), "writes_total", "Writes.");
  assert.equal(family.series({ ack: "durable" }), family.series({ ack: "durable" }));
  assert.notEqual(family.series({ ack: "durable" }), family.series({ ack: "flushed" }));
});
