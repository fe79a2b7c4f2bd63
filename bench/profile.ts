/**
 * `deno task bench:profile [BEHIND] [WHAT] [connections]`: where the processors' time goes under
 * load, in microseconds a request, or while a backlog drains, in microseconds a row: by process, by
 * thread of the service, and by function of its main thread. It says why a figure is what it is, and
 * is no figure itself: a profiler slows down what it watches.
 */
import { fileURLToPath } from "node:url";
import { delay, freePort } from "../tests/support/services.ts";
import { BACKLOG_SETTINGS, makeBacklog } from "./backlog.ts";
import { writeEveryUser } from "./load/every_user.ts";
import { Inspector, type SelfTime } from "./load/inspector.ts";
import { ofProcesses, ofThreads, type ProcessorTime, since } from "./load/processor_time.ts";
import { OWN_REQUESTS } from "./load/template.ts";
import { closedLoop } from "./load/wrk.ts";
import { print } from "./print.ts";
import { Program } from "./sides/program.ts";
import { commandOf, Service } from "./sides/service.ts";
import { Servers } from "./sides/servers.ts";
import { startFloor } from "./sides/started.ts";

const CHECKOUT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const BEHIND = ["embedded", "postgres", "redis", "floor"];
const REQUESTS = {
  durable: OWN_REQUESTS.write,
  accepted: { ...OWN_REQUESTS.write, path: `${OWN_REQUESTS.write.path}?ack=accepted` },
  read: OWN_REQUESTS.read,
} as const;
/** Instead of requests: what is queued goes where it belongs. */
const DRAIN = "drain";
const USERS = 1_000;
const WARM_UP_SECONDS = 2;
const SECONDS = 4;
/** A third of them warm it up, as many are measured, and as many profiled. */
const BACKLOG_RECORDS = 1_500_000;
const POLL_MS = 5;
/** What takes less says nothing. */
const LEAST_US = 0.1;
const FUNCTIONS_SHOWN = 40;

type Watched = Awaited<ReturnType<typeof startFloor>> | Service;
/** It resolves to how many requests were answered, or rows stored. */
type Work = (seconds: number) => Promise<number>;

async function main(behind: string, what: string, connections: number) {
  await using servers = await Servers.start();
  const dataDir = `${servers.folder}/data`;
  if (what === DRAIN) await makeBacklog(dataDir, BACKLOG_RECORDS);
  const inspectorPort = freePort();
  const inspect = `--inspect=127.0.0.1:${inspectorPort}`;
  await using side = await start(servers, behind, dataDir, inspect);
  if (what !== DRAIN && behind !== "floor") await writeEveryUser(side, USERS);
  const work = what === DRAIN ? draining(side as Service) : requests(side, what, connections);
  await work(WARM_UP_SECONDS);
  print(`${behind}, ${what}, ${connections} connections`);
  await profile(side, inspectorPort, work, what === DRAIN ? "row" : "request");
}

function requests(side: Watched, what: string, connections: number) {
  const request = REQUESTS[what as keyof typeof REQUESTS];
  return async (seconds: number) => {
    const load = { connections, seconds, users: USERS };
    return (await closedLoop(side.url, request, load)).perSecond * seconds;
  };
}

function draining(side: Service): Work {
  let from = BACKLOG_RECORDS;
  return async () => {
    const before = from;
    while (before - from < BACKLOG_RECORDS / 3 - 1) {
      await delay(POLL_MS);
      from = await side.queued();
    }
    return before - from;
  };
}

async function profile({ program }: Watched, inspectorPort: number, work: Work, unit: string) {
  const startedMs = performance.now();
  const before = { processes: await ofProcesses(), threads: await ofThreads(program.pid) };
  const count = await work(SECONDS);
  const after = { processes: await ofProcesses(), threads: await ofThreads(program.pid) };
  print(`${Math.round(count / (performance.now() - startedMs) * 1_000)} a second`);
  const processes = since(before.processes, after.processes);
  show("all processes (deno: the service, and this program with wrk)", unit, count, processes);
  show("threads of the service", unit, count, since(before.threads, after.threads));

  using inspector = await Inspector.connect(inspectorPort);
  let profiled = 0;
  const times: SelfTime = await inspector.profile(async () => {
    profiled = await work(SECONDS);
  });
  show("functions of its main thread, profiled", unit, profiled, times);
}

async function start(servers: Servers, behind: string, dataDir: string, inspect: string) {
  if (behind === "floor") return await startFloor([inspect]);
  const service = commandOf(CHECKOUT, {
    DATA_DIR: dataDir,
    ...BACKLOG_SETTINGS,
    ...(behind === "embedded" ? {} : { DATABASE_URL: await servers.database() }),
    ...(behind === "redis" ? { REDIS_URL: servers.redis.url } : {}),
  });
  const program = new Program({ ...service, args: ["run", inspect, ...service.args.slice(1)] });
  return new Service(behind, await program.listening(), program);
}

function show(title: string, unit: string, count: number, times: ProcessorTime): void {
  print(`\n${title}: µs a ${unit}`);
  const all = [...times].map(([name, seconds]) => [name, seconds * 1e6 / count] as const);
  const most = all.filter(([, us]) => us >= LEAST_US).sort(([, a], [, b]) => b - a);
  for (const [name, us] of most.slice(0, FUNCTIONS_SHOWN)) {
    print(`${us.toFixed(2).padStart(8)}  ${name}`);
  }
}

const [behind = "redis", what = "durable", connections = "64"] = Deno.args;
const isKnown = what in REQUESTS || (what === DRAIN && behind !== "floor");
if (!BEHIND.includes(behind) || !isKnown || !(Number(connections) > 0)) {
  const known = [...Object.keys(REQUESTS), DRAIN].join(" | ");
  print(`bench:profile [${BEHIND.join(" | ")}] [${known}] [connections]`);
  Deno.exit(2);
}
await main(behind, what, Number(connections));
