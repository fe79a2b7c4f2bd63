/**
 * `deno task bench:guard`: whether this service has clearly become slower, as a test: against the
 * same-answer floor, in some short rounds. What else the machine does makes most rounds worse, so
 * that the best one counts, and no more are run than one that is good: only what is too slow in all
 * of them fails.
 */
import { fileURLToPath } from "node:url";
import { writeEveryUser } from "./load/every_user.ts";
import { closedLoop } from "./load/wrk.ts";
import { print } from "./print.ts";
import { serviceWith } from "./sides/service.ts";
import type { Side } from "./sides/side.ts";
import { startFloor } from "./sides/started.ts";

/**
 * Ratios to the floor, embedded, 64 connections, on two cores. What is less than `least` fails;
 * beside it what was measured, of which it is some two thirds.
 */
const GUARDS = [
  { name: "durable writes", request: "write", least: 0.2 }, // 0.32 to 0.46
  { name: "hot reads", request: "read", least: 0.5 }, // 0.80 to 0.94
] as const;

const LOAD = { connections: 64, seconds: 2, users: 1_000 };
const ROUNDS_MAX = 6;
const CHECKOUT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

async function main(dataDir: string): Promise<boolean> {
  await using floor = await startFloor();
  await using service = await serviceWith("embedded", CHECKOUT, { DATA_DIR: dataDir });
  await writeEveryUser(service, LOAD.users);
  let isWell = true;
  for (const { name, request, least } of GUARDS) {
    const perSecond = async (side: Side) => {
      const figures = await closedLoop(side.url, side.requests[request], LOAD);
      await side.settled();
      return figures.perSecond;
    };
    for (const side of [floor, service]) await perSecond(side); // To warm up.
    const rounds: number[] = [];
    while (rounds.length < ROUNDS_MAX && !rounds.some((ratio) => ratio >= least)) {
      const ofFloor = await perSecond(floor);
      rounds.push(await perSecond(service) / ofFloor);
    }
    const wasMet = Math.max(...rounds) >= least;
    isWell &&= wasMet;
    const all = rounds.map((ratio) => ratio.toFixed(2)).join(", ");
    print(`${name}: ${all} of the floor, at least ${least} wanted: ${wasMet ? "ok" : "FAILED"}`);
  }
  return isWell;
}

const dataDir = await Deno.makeTempDir({ prefix: "dsproxy-guard-" });
try {
  if (!await main(dataDir)) Deno.exitCode = 1;
} finally {
  await Deno.remove(dataDir, { recursive: true });
}
