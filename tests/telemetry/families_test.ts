import assert from "node:assert/strict";
import { Counter, Histogram, Registry } from "prom-client";
import { expose } from "../../src/telemetry/exposition.ts";
import { CountFamily, DurationFamily } from "../../src/telemetry/families.ts";

const BOUNDS = [0.001, 0.01, 0.1];
const SECONDS = [0.0005, 0.001, 0.0011, 0.05, 0.1, 7];

/** The exposition of what `make` registers, in the classic format or that of OpenMetrics. */
async function exposed(make: (registry: Registry) => void, openMetrics: boolean): Promise<string> {
  const registry = new Registry();
  make(registry);
  return (await expose(registry, openMetrics)).text;
}

for (const openMetrics of [false, true]) {
  const format = openMetrics ? "OpenMetrics" : "the classic format";
  Deno.test(`families are exposed as those of prom-client: ${format}`, async () => {
    const ours = await exposed((registry) => {
      const requests = new CountFamily<"route" | "code">(registry, "requests_total", "Answered.");
      requests.series({ route: "/write", code: 202 }).inc();
      requests.series({ route: "/read", code: 200 });
      requests.series({ route: "/write", code: 202 }).inc();
      const duration = new DurationFamily<"route">(registry, "duration_seconds", "Time.", BOUNDS);
      for (const seconds of SECONDS) duration.series({ route: "/write" }).observe(seconds);
    }, openMetrics);
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
    }, openMetrics);
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

Deno.test("the classic format is, but for empty lines, what prom-client makes of a registry", async () => {
  const registry = new Registry();
  const registers = [registry];
  const count = new Counter({ name: "a_total", help: "A \\ b\nc.", labelNames: ["l"], registers });
  count.inc({ l: 'quoted "\\\n' }, 0.5);
  new Histogram({ name: "b_seconds", help: "B.", buckets: [0.5, 1], registers }).observe(0.7);
  const theirs = (await registry.metrics()).replaceAll("\n\n", "\n");
  assert.equal((await expose(registry, false)).text, theirs);
});

Deno.test("a bucket has the last observation with a trace as its exemplar, in OpenMetrics alone", async () => {
  const make = (registry: Registry) => {
    const series = new DurationFamily(registry, "answer_seconds", "Time.", BOUNDS).series({});
    series.observe(0.002);
    for (const digit of ["1", "2", "3"]) series.observe(0.003, digit.repeat(32));
    series.observe(0.004);
    series.observe(5, "f".repeat(32));
  };
  const text = await exposed(make, true);
  const shown = [...text.matchAll(/^(\S+) (\d+) # (\S+) (\S+) \d+\.?\d*$/gm)]
    .map(([, bucket, count, labels, seconds]) => [bucket, count, labels, seconds]);
  assert.deepEqual(shown, [
    ['answer_seconds_bucket{le="0.01"}', "5", `{trace_id="${"3".repeat(32)}"}`, "0.003"],
    ['answer_seconds_bucket{le="+Inf"}', "6", `{trace_id="${"f".repeat(32)}"}`, "5"],
  ]);
  assert.doesNotMatch(await exposed(make, false), /trace_id/);
});

Deno.test("OpenMetrics has units, names of families without _total, and bounds with a fraction", async () => {
  const text = await exposed((registry) => {
    new CountFamily(registry, "cpu_seconds_total", "Time.").series({}).inc();
    new DurationFamily(registry, "wait_seconds", 'A "wait".', [1, 2.5]).series({}).observe(2);
  }, true);
  assert.equal(
    text,
    `# TYPE cpu_seconds counter
# UNIT cpu_seconds seconds
# HELP cpu_seconds Time.
cpu_seconds_total 1
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
# HELP wait_seconds A \\"wait\\".
wait_seconds_bucket{le="1.0"} 0
wait_seconds_bucket{le="2.5"} 1
wait_seconds_bucket{le="+Inf"} 1
wait_seconds_sum 2
wait_seconds_count 1
# EOF
`,
  );
});
