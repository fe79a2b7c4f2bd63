/**
 * `deno task bench:viewers [rounds]`: what watching costs the writes. This service without a
 * dashboard, with one at which nobody looks, and with twenty viewers of `/events`, in turn, under
 * `wrk` with 64 connections that write durably. All share the machine, so that only ratios count.
 */
import { closedLoop } from "./load/wrk.ts";
import { print } from "./print.ts";
import { inTurn } from "./rounds.ts";
import { type Service, startService } from "./sides/service.ts";
import { Servers } from "./sides/servers.ts";
import { ratios, spread } from "./statistics.ts";

const LOAD = { connections: 64, seconds: 3, users: 1_000 };
const VIEWERS = 20;

const rounds = Number(Deno.args[0] ?? "5");
if (!(rounds > 0)) throw new Error("Use: deno task bench:viewers [rounds]");

/** Opens the streams, and reads them until they are closed. */
async function watch(service: Service): Promise<{ bytes: number; close(): Promise<void> }> {
  const end = new AbortController();
  const watched = { bytes: 0, close: () => Promise.resolve() };
  const read = Array.from({ length: VIEWERS }, async () => {
    const { body } = await fetch(`${service.url}/events`, { signal: end.signal });
    try {
      for await (const piece of body!) watched.bytes += piece.length;
    } catch (error) {
      if (!end.signal.aborted) throw error;
    }
  });
  while (await service.metric("viewers") < VIEWERS) {
    await new Promise((done) => setTimeout(done, 50));
  }
  watched.close = async () => {
    end.abort();
    await Promise.all(read);
  };
  return watched;
}

async function measure(side: Service) {
  const watched = side === many ? await watch(side) : undefined;
  const { perSecond, p99Ms } = await closedLoop(side.url, side.requests.write, LOAD);
  await watched?.close();
  const eventBytes = (watched?.bytes ?? 0) / VIEWERS / LOAD.seconds;
  await side.settled();
  return { writes: perSecond, p99Ms, eventBytes };
}

await using servers = await Servers.start();
const start = (name: string, settings: Record<string, string>) =>
  startService(servers, { name, behind: "PostgreSQL + Redis", checkout: ".", settings });
await using off = await start("off", { DASHBOARD: "off" });
await using nobody = await start("nobody looks", {});
await using many = await start(`${VIEWERS} viewers`, {});
const found = await inTurn([off, nobody, many], rounds, measure);
const of = (side: Service, figure: "writes" | "p99Ms" | "eventBytes") =>
  found.get(side)!.map((round) => round[figure]);
for (const side of [off, nobody, many]) {
  print(
    `${side.name.padEnd(14)} writes/s ${spread(of(side, "writes"), 0)}, ` +
      `p99 ms ${spread(of(side, "p99Ms"), 1)}, ` +
      `of off ${spread(ratios(of(side, "writes"), of(off, "writes")), 2)}, ` +
      `of nobody ${spread(ratios(of(side, "writes"), of(nobody, "writes")), 2)}`,
  );
}
print(`bytes a second to each viewer ${spread(of(many, "eventBytes"), 0)}`);
