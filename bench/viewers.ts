/**
 * `deno task bench:viewers [rounds]`: what watching costs the writes. This service without a
 * dashboard, with one at which nobody looks, and with twenty viewers of `/events`, in turn, under
 * `wrk` with 64 connections that write durably. All share the machine, so that only ratios count, and
 * best those of the processor time that the service itself takes.
 */
import { delay } from "../tests/support/services.ts";
import { ofProcess } from "./load/processor_time.ts";
import { closedLoop } from "./load/wrk.ts";
import { print } from "./print.ts";
import { inTurn } from "./rounds.ts";
import { type Service, startService } from "./sides/service.ts";
import { Servers } from "./sides/servers.ts";
import { ratios, spread } from "./statistics.ts";

const LOAD = { connections: 64, seconds: 2, users: 1_000 };
const VIEWERS = 20;
const IDLE_SECONDS = 3;

const rounds = Number(Deno.args[0] ?? "5");
if (!(rounds > 0)) throw new Error("Use: deno task bench:viewers [rounds]");

/** Opens the streams, and reads them until they are closed. */
async function watch(service: Service): Promise<{ bytes: number; close(): Promise<void> }> {
  const readers = await Promise.all(
    Array.from({ length: VIEWERS }, async () => {
      const { body } = await fetch(`${service.url}/events`);
      return body!.getReader();
    }),
  );
  const watched = {
    bytes: 0,
    close: async () => {
      await Promise.all(readers.map((reader) => reader.cancel()));
    },
  };
  for (const reader of readers) {
    (async () => {
      for (let it = await reader.read(); !it.done; it = await reader.read()) {
        watched.bytes += it.value.length;
      }
    })();
  }
  return watched;
}

async function measure(side: Service) {
  const { pid } = side.program;
  const watched = side === many ? await watch(side) : undefined;
  const begun = await ofProcess(pid);
  await delay(IDLE_SECONDS * 1_000);
  const idle = await ofProcess(pid);
  const { perSecond } = await closedLoop(side.url, side.requests.write, LOAD);
  await side.settled();
  const eventBytes = (watched?.bytes ?? 0) / VIEWERS / (IDLE_SECONDS + LOAD.seconds);
  await watched?.close();
  const microsEach = (await ofProcess(pid) - idle) * 1e6 / (perSecond * LOAD.seconds);
  return { perSecond, idleMs: (idle - begun) * 1e3 / IDLE_SECONDS, microsEach, eventBytes };
}

await using servers = await Servers.start();
const start = (name: string, settings: Record<string, string>) =>
  startService(servers, { name, behind: "PostgreSQL + Redis", checkout: ".", settings });
await using off = await start("off", { DASHBOARD: "off" });
await using nobody = await start("nobody looks", {});
await using many = await start(`${VIEWERS} viewers`, {});
const found = await inTurn([off, nobody, many], rounds, measure);
type Figure = "perSecond" | "idleMs" | "microsEach" | "eventBytes";
const of = (side: Service, figure: Figure) => found.get(side)!.map((round) => round[figure]);
for (const side of [off, nobody, many]) {
  const each = of(side, "microsEach");
  print(
    `${side.name.padEnd(14)} writes/s ${spread(of(side, "perSecond"), 0)}; processor µs a write ` +
      `${spread(each, 1)}, of off ${spread(ratios(each, of(off, "microsEach")), 2)}; ` +
      `at rest ms a second ${spread(of(side, "idleMs"), 1)}`,
  );
}
print(`bytes a second to each viewer ${spread(of(many, "eventBytes"), 0)}`);
