/**
 * `deno task bench:scrape [seconds]`: what a scrape of `/metrics` costs: processor time of the
 * service, and at full load how long it takes, beside `/livez`, and what it takes of the writes.
 */
import { fileURLToPath } from "node:url";
import { delay } from "../tests/support/services.ts";
import { ofProcess } from "./load/processor_time.ts";
import { OWN_REQUESTS } from "./load/template.ts";
import { closedLoop } from "./load/wrk.ts";
import { print } from "./print.ts";
import { type Service, startService } from "./sides/service.ts";
import { Servers } from "./sides/servers.ts";
import { spread } from "./statistics.ts";

const SCRAPES = 500;
const ROUNDS = 3;
const EVERY_MS = 100;
const FORMATS = { classic: "text/plain", OpenMetrics: "application/openmetrics-text" };
const seconds = Number(Deno.args[0] ?? 4);

async function ask(url: string, accept: string): Promise<number> {
  const startedMs = performance.now();
  await (await fetch(url, { headers: { accept } })).text();
  return performance.now() - startedMs;
}

/** Returns the milliseconds of a processor that one scrape of an idle service takes. */
async function processorMs({ url, program }: Service, accept: string): Promise<number> {
  const before = await ofProcess(program.pid);
  for (let i = 0; i < SCRAPES; i++) await ask(`${url}/metrics`, accept);
  return 1_000 * (await ofProcess(program.pid) - before) / SCRAPES;
}

/** Writes at full load, and asks a path now and then meanwhile, if any is given. */
async function underLoad(service: Service, path?: string) {
  const took: number[] = [];
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      if (path !== undefined) took.push(await ask(service.url + path, FORMATS.OpenMetrics));
      await delay(EVERY_MS);
    }
  })();
  const load = { connections: 64, seconds, users: 1_000 };
  const { perSecond, p99Ms } = await closedLoop(service.url, OWN_REQUESTS.write, load);
  isOver = true;
  await asking;
  return { perSecond, p99Ms, took };
}

const checkout = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
await using servers = await Servers.start();
await using service = await startService(servers, {
  name: "dsproxy",
  behind: "PostgreSQL + Redis",
  checkout,
});
await underLoad(service);
for (const [name, accept] of Object.entries(FORMATS)) {
  await processorMs(service, accept); // It warms up what writes this format.
  print(`${name}: ${(await processorMs(service, accept)).toFixed(2)} ms of a processor a scrape`);
}
const took = new Map<string, number[]>([["/metrics", []], ["/livez", []]]);
const ratios: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const alone = await underLoad(service);
  for (const [path, all] of took) {
    const { perSecond, took: some } = await underLoad(service, path);
    all.push(...some);
    if (path === "/metrics") ratios.push(perSecond / alone.perSecond);
  }
  print(`${Math.round(alone.perSecond)} writes a second, p99 ${alone.p99Ms.toFixed(1)} ms`);
}
for (const [path, all] of took) print(`${path} at full load: ${spread(all, 1)} ms`);
print(`writes with ten scrapes a second / without: ${spread(ratios, 2)}`);
