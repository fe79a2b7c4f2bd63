/**
 * `deno task bench:profile [BEHIND] [REQUEST] [connections]`: where the processors' time goes under
 * load, in microseconds a request: by process, by thread of the service, and by function of its main
 * thread. It says why a figure is what it is, and is no figure itself: a profiler slows down what it
 * watches.
 */
import { fileURLToPath } from "node:url";
import { freePort } from "../tests/support/services.ts";
import { writeEveryUser } from "./load/every_user.ts";
import { Inspector, type SelfTime } from "./load/inspector.ts";
import { ofProcesses, ofThreads, since } from "./load/processor_time.ts";
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
const USERS = 1_000;
const WARM_UP_SECONDS = 2;
const SECONDS = 4;
/** What takes less says nothing. */
const LEAST_US = 0.1;
const FUNCTIONS_SHOWN = 40;

async function main(behind: string, name: keyof typeof REQUESTS, connections: number) {
  await using servers = await Servers.start();
  const inspectorPort = freePort();
  await using side = await start(servers, behind, `--inspect=127.0.0.1:${inspectorPort}`);
  const { program } = side;
  if (behind !== "floor") await writeEveryUser(side, USERS);
  const load = async (seconds: number) =>
    await closedLoop(side.url, REQUESTS[name], { connections, seconds, users: USERS });
  await load(WARM_UP_SECONDS);

  const before = { processes: await ofProcesses(), threads: await ofThreads(program.pid) };
  const { perSecond } = await load(SECONDS);
  print(`${behind}, ${name}, ${connections} connections: ${Math.round(perSecond)} a second`);
  const requests = perSecond * SECONDS;
  show("all processes (deno: the service, and this program with wrk)", requests, [
    ...since(before.processes, await ofProcesses()),
  ]);
  show("threads of the service", requests, [
    ...since(before.threads, await ofThreads(program.pid)),
  ]);

  using inspector = await Inspector.connect(inspectorPort);
  let profiled = 0;
  const times: SelfTime = await inspector.profile(async () => {
    profiled = (await load(SECONDS)).perSecond * SECONDS;
  });
  show("functions of its main thread, profiled", profiled, [...times]);
}

async function start(servers: Servers, behind: string, inspect: string) {
  if (behind === "floor") return await startFloor([inspect]);
  const service = commandOf(CHECKOUT, {
    DATA_DIR: `${servers.folder}/data`,
    ...(behind === "embedded" ? {} : { DATABASE_URL: await servers.database() }),
    ...(behind === "redis" ? { REDIS_URL: servers.redis.url } : {}),
  });
  const program = new Program({ ...service, args: ["run", inspect, ...service.args.slice(1)] });
  return new Service(behind, await program.listening(), program);
}

function show(title: string, requests: number, times: [string, number][]): void {
  print(`\n${title}: µs a request`);
  const all = times.map(([name, seconds]) => [name, seconds * 1e6 / requests] as const);
  const most = all.filter(([, us]) => us >= LEAST_US).sort(([, a], [, b]) => b - a);
  for (const [name, us] of most.slice(0, FUNCTIONS_SHOWN)) {
    print(`${us.toFixed(2).padStart(8)}  ${name}`);
  }
}

const [behind = "redis", name = "durable", connections = "64"] = Deno.args;
if (!BEHIND.includes(behind) || !(name in REQUESTS) || !(Number(connections) > 0)) {
  const requests = Object.keys(REQUESTS).join(" | ");
  print(`bench:profile [${BEHIND.join(" | ")}] [${requests}] [connections]`);
  Deno.exit(2);
}
await main(behind, name as keyof typeof REQUESTS, Number(connections));
