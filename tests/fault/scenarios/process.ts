/** Faults of the program's own process. */
import assert from "node:assert/strict";
import type { Dsproxy } from "../../support/dsproxy.ts";
import { delay } from "../../support/services.ts";
import { FAILPOINTS } from "../failpoints.ts";
import { type Scenario, tryFaultOnDatabase } from "../scenario.ts";

const killed: Scenario = {
  fault: "the process is killed",
  how: "`kill -9` at a random moment",
  rounds: { few: 15, many: 50 },
  run: (rounds, random) =>
    tryFaultOnDatabase(
      {
        inject: (proxy) => proxy.kill(),
      },
      rounds,
      random,
    ),
};

/** One scenario a failpoint: the program of the tests kills itself when it gets there. */
const killedAtFailpoints: readonly Scenario[] = FAILPOINTS.map((failpoint) => ({
  fault: `the process is killed: ${failpoint}`,
  how: "`kill -9` of itself, as soon as the journal gets there",
  rounds: { few: 2, many: 20 },
  run: (rounds, random) =>
    tryFaultOnDatabase(
      {
        how: { main: "tests/fault/failpoint_main.ts", args: [failpoint] },
        // A segment is removed as soon as the store has all of it.
        settings: { JOURNAL_RETAIN: "0s" },
        inject: async (proxy) => {
          await ready(proxy);
          proxy.process.kill("SIGUSR1");
          await proxy.ended();
        },
      },
      rounds,
      random,
    ),
}));

const terminated: Scenario = {
  fault: "the process is told to stop",
  how: "SIGTERM under load; it must exit with 0, and say that it is not ready before it " +
    "refuses anybody",
  rounds: { few: 5, many: 20 },
  run: (rounds, random) =>
    tryFaultOnDatabase(
      {
        inject: async (proxy) => {
          const seen = watchReadiness(proxy);
          await delay(50);
          await proxy.stop();
          const statuses = (await seen).join(" ");
          assert.match(statuses, /^(200 )+(503 )+gone$/, "readiness: ready, not ready, gone");
        },
      },
      rounds,
      random,
    ),
};

const clockStepped: Scenario = {
  fault: "the machine's clock is set",
  how: "one hour forward or back, in the program's own clock",
  rounds: { few: 6, many: 40 },
  run: (rounds, random) =>
    tryFaultOnDatabase(
      {
        how: { main: "tests/fault/failpoint_main.ts" },
        inject: async (proxy) => {
          await ready(proxy);
          proxy.process.kill("SIGUSR2");
          await delay(50);
        },
      },
      rounds,
      random,
    ),
};

/** Until its handlers of signals are there, a signal would end it. */
async function ready(proxy: Dsproxy): Promise<void> {
  while (!proxy.log.includes("failpoints are set")) await delay(5);
}

async function watchReadiness(proxy: Dsproxy): Promise<string[]> {
  const seen: string[] = [];
  while (seen.at(-1) !== "gone") {
    // A connection of its own each time, as a probe has it.
    const status = await fetch(`${proxy.url}/readyz`, { headers: { connection: "close" } }).then(
      async (response) => {
        await response.body?.cancel();
        return String(response.status);
      },
      () => "gone",
    );
    seen.push(status);
    await delay(10);
  }
  return seen;
}

export const PROCESS: readonly Scenario[] = [
  killed,
  ...killedAtFailpoints,
  terminated,
  clockStepped,
];
