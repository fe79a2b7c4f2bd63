/**
 * Faults of the disk that the journal is on, brought about in the program's own file system calls.
 */
import { type Dsproxy, eventually } from "../../support/dsproxy.ts";
import type { Random } from "../../support/random.ts";
import { delay } from "../../support/services.ts";
import type { DiskFault } from "../disk_faults.ts";
import { type Scenario, tryFaultOnDatabase } from "../scenario.ts";

/** @param end resolves when the fault may be over, however busy the machine is */
function scenario(fault: DiskFault, end: (proxy: Dsproxy) => Promise<void>): Scenario["run"] {
  return (rounds: number, random: Random) =>
    tryFaultOnDatabase(
      {
        how: { main: "tests/fault/failpoint_main.ts" },
        inject: async (proxy) => {
          const switchPath = `${proxy.settings.DATA_DIR}/fault`;
          await Deno.writeTextFile(switchPath, fault);
          await delay(random.between(50, 500));
          await end(proxy);
          await Deno.remove(switchPath);
        },
      },
      rounds,
      random,
    );
}

export const DISK: readonly Scenario[] = [
  {
    fault: "the disk is full",
    how: "writes fail half way with ENOSPC for up to 0.5 s",
    rounds: { few: 5, many: 50 },
    run: scenario("ENOSPC", () => Promise.resolve()),
  },
  {
    fault: "the disk does not sync",
    how: "fsync fails with EIO; the instance reports that it is not ready, and is killed " +
      "and started anew",
    rounds: { few: 3, many: 20 },
    run: scenario("EIO", async (proxy) => {
      const isNotReady = async () => await proxy.status("/readyz") === 503;
      await eventually("it says that it is not ready", isNotReady);
      await proxy.kill();
    }),
  },
];
