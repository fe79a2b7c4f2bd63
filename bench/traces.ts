/**
 * `deno task bench:traces [--rounds N] [--before CHECKOUT]`: what tracing costs who writes and who
 * reads. The service on PostgreSQL and Redis with tracing off, and with parts of the requests sampled, in
 * turn, under `wrk`; with `--before` beside a checkout that has no tracing at all. Writes
 * docs/traces_results.md.
 */
import { parseArgs } from "node:util";
import { headerField } from "../src/http/header_field.ts";
import { Sampler } from "../src/telemetry/sampler.ts";
import { type SpanMaker, Spans } from "../src/telemetry/spans.ts";
import { writeEveryUser } from "./load/every_user.ts";
import { ofProcess } from "./load/processor_time.ts";
import type { OneRequest } from "./load/template.ts";
import { closedLoop } from "./load/wrk.ts";
import { print } from "./print.ts";
import { inTurn } from "./rounds.ts";
import { type Service, startService } from "./sides/service.ts";
import { Servers } from "./sides/servers.ts";
import { median, ratios, spread } from "./statistics.ts";

const RESULTS = new URL("../docs/traces_results.md", import.meta.url);
const LOAD = { connections: 64, seconds: 1, users: 1_000 };
const ASKING = { rounds: 20, times: 20_000 };
const FIGURES = ["writes", "writeUs", "reads", "readUs", "residentMiB"] as const;

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "10" }, before: { type: "string" } },
});
const rounds = Number(values.rounds);
if (!(rounds > 0)) throw new Error("Use: deno task bench:traces [--rounds N] [--before CHECKOUT]");

/** Takes what is sent, and looks at none of it. */
function startReceiver(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    await request.arrayBuffer();
    return new Response(null, { headers: { "content-type": "application/x-protobuf" } });
  });
}

async function measure(side: Service) {
  const { read, write } = side.requests;
  const writes = await underLoad(side, write);
  const reads = await underLoad(side, read);
  return {
    writes: writes.perSecond,
    writeUs: writes.processorUs,
    reads: reads.perSecond,
    readUs: reads.processorUs,
    residentMiB: await side.program.residentMiB(),
  };
}

/** What others do on the machine meanwhile meets the processor's time less than the rate. */
async function underLoad(side: Service, request: OneRequest) {
  const before = await ofProcess(side.program.pid);
  const { perSecond } = await closedLoop(side.url, request, LOAD);
  const seconds = await ofProcess(side.program.pid) - before;
  // To ask whether it has settled costs, too.
  await side.settled();
  return { perSecond, processorUs: seconds * 1e6 / (perSecond * LOAD.seconds) };
}

type Measured = Awaited<ReturnType<typeof measure>>;
type Sides = Readonly<Record<"off" | "every", readonly Measured[]>>;

function row(name: string, rounds: readonly Measured[], off: readonly Measured[]): string {
  const cells = FIGURES.flatMap((figure) => {
    const [own, base] = [rounds, off].map((all) => all.map((round) => round[figure]));
    return [spread(own!, 0), spread(ratios(own!, base!), 3)];
  });
  return `| ${[name, ...cells].join(" | ")} |`;
}

/**
 * Asks of one request that was really served, again and again, whether it is sampled; returns the
 * least of several rounds, in microseconds for each time.
 */
async function unsampledUs(): Promise<number> {
  const maker: SpanMaker = {
    begin: () => fail("A span was begun"),
    refuses: () => fail("A span was asked for"),
    stop: () => Promise.resolve(),
  };
  const sampler = new Sampler({ sampler: "parentbased_traceidratio", ratio: 0 }, Math.random);
  const store = { system: "none" };
  const spans = new Spans(maker, sampler, { store, cacheSystem: undefined, broker: undefined });
  let leastMs = Infinity;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    for (let round = 0; round < ASKING.rounds; round++) {
      const startedMs = performance.now();
      for (let i = 0; i < ASKING.times; i++) {
        spans.request(() => headerField(request, "traceparent"), "POST", "/write");
      }
      leastMs = Math.min(leastMs, performance.now() - startedMs);
    }
    return new Response();
  });
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/`, { method: "POST" });
  await response.body?.cancel();
  await server.shutdown();
  return leastMs * 1_000 / ASKING.times;
}

function fail(message: string): never {
  throw new Error(message);
}

/** Says what one of a hundred must cost, by what all of them do: that is well above the noise. */
function derived(what: string, figure: "writeUs" | "readUs", all: Sides): string {
  const [none, every] = [all.off, all.every].map((rounds) => rounds.map((one) => one[figure]));
  const moreUs = median(every!.map((us, i) => us - none![i]!));
  const percent = 100 * (askingUs + moreUs / 100) / median(none!);
  return `A sampled ${what} takes ${
    moreUs.toFixed(0)
  } µs more of the processors (median over the rounds); of 1 %, ` +
    `with asking the others, that is ${percent.toFixed(1)} % of a ${what}.`;
}

async function spansOf(side: Service): Promise<string> {
  const text = await (await fetch(`${side.url}/metrics`)).text();
  const of = (outcome: string) =>
    new RegExp(`^dsproxy_spans_total{outcome="${outcome}"} (\\S+)$`, "m").exec(text)?.[1] ?? "–";
  return `${side.name}: ${of("exported")} spans exported, ${of("dropped")} dropped, ` +
    `${of("failed")} failed.`;
}

await using servers = await Servers.start();
const receiver = startReceiver();
const sampled = (part: string) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${receiver.addr.port}`,
  OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
  OTEL_TRACES_SAMPLER_ARG: part,
});
await using stack = new AsyncDisposableStack();
stack.defer(() => receiver.shutdown());
const start = async (name: string, settings: Record<string, string>, checkout = ".") => {
  const options = { name, behind: "PostgreSQL + Redis", checkout, settings } as const;
  return stack.use(await startService(servers, options));
};
const off = await start("off", {});
const every = await start("on, 100 %", sampled("1"));
const sides = [
  off,
  ...values.before === undefined ? [] : [await start("before", {}, values.before)],
  await start("on, 1 %", sampled("0.01")),
  every,
];
for (const side of sides) await writeEveryUser(side, LOAD.users);
const askingUs = await unsampledUs();
const found = await inTurn(sides, rounds, measure);
const lines = [
  "# What tracing costs",
  "",
  `Written by \`deno task bench:traces\` (Deno ${Deno.version.deno}, PostgreSQL and Redis, ` +
  `${LOAD.connections} connections, ${rounds} rounds of ${LOAD.seconds} s, sides in turn). ` +
  "Nothing here is typed by hand. Figures are median (least..most); `/ off` is the ratio to " +
  "tracing off in the same round; µs are of the processors, by the service alone.",
  "",
  "| tracing | writes/s | / off | µs a write | / off | hot reads/s | / off | µs a read | / off " +
  "| MiB resident | / off |",
  "|---|---|---|---|---|---|---|---|---|---|---|",
  ...sides.map((side) => row(side.name, found.get(side)!, found.get(off)!)),
  "",
  `To ask whether a request is sampled takes ${
    askingUs.toFixed(2)
  } µs where it is not (the least of ` +
  `${ASKING.rounds} rounds of ${ASKING.times}, with one header field that is not there). Where tracing is off nothing is asked.`,
  "",
  derived("write", "writeUs", { off: found.get(off)!, every: found.get(every)! }),
  derived("read", "readUs", { off: found.get(off)!, every: found.get(every)! }),
  "",
  ...await Promise.all(sides.filter((side) => side.name.startsWith("on")).map(spansOf)),
  "",
];
await Deno.writeTextFile(RESULTS, lines.join("\n"));
print(lines.join("\n"));
