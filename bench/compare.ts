/**
 * `deno task bench:compare OTHER [rounds]`: this checkout against another one of this project, in
 * turn, on the same PostgreSQL and Redis, under `wrk` with 64 connections: durable writes, then
 * reads of what is in the cache. Prints each side's median and spread, and the median of the ratios
 * of neighbouring rounds; both sides and the load share the machine, so that only ratios count.
 */
import { writeEveryUser } from "./load/every_user.ts";
import { closedLoop } from "./load/wrk.ts";
import { print } from "./print.ts";
import { inTurn } from "./rounds.ts";
import { type Service, startService } from "./sides/service.ts";
import { Servers } from "./sides/servers.ts";
import { ratios, spread } from "./statistics.ts";

const LOAD = { connections: 64, seconds: 6, users: 1_000 };

const [other, roundsText = "7"] = Deno.args;
const rounds = Number(roundsText);
if (other === undefined || !(rounds > 0)) {
  throw new Error("Use: deno task bench:compare OTHER_CHECKOUT [rounds]");
}

async function measure(side: Service) {
  const { read, write } = side.requests;
  const writes = (await closedLoop(side.url, write, LOAD)).perSecond;
  const residentMiB = await side.program.residentMiB();
  await side.settled();
  const reads = (await closedLoop(side.url, read, LOAD)).perSecond;
  return { writes, reads, residentMiB };
}

await using servers = await Servers.start();
const start = (name: string, checkout: string) =>
  startService(servers, { name, behind: "PostgreSQL + Redis", checkout });
await using before = await start("other", other);
await using now = await start("this", ".");
for (const side of [before, now]) await writeEveryUser(side, LOAD.users);
const found = await inTurn([before, now], rounds, measure);
for (const figure of ["writes", "reads", "residentMiB"] as const) {
  const of = (side: Service) => found.get(side)!.map((round) => round[figure]);
  print(
    `${figure.padEnd(12)} other ${spread(of(before), 0)}, this ${spread(of(now), 0)}, ` +
      `this/other ${spread(ratios(of(now), of(before)), 2)}`,
  );
}
