/**
 * The program, with what only tests can do to it. After SIGUSR1 it kills itself at the failpoint
 * that its argument names; SIGUSR2 sets its clock one hour forward and back in turn; a file `fault`
 * in DATA_DIR makes the disk fail as it says (ENOSPC, EIO).
 */
import { createApp } from "../../src/app.ts";
import { loadConfigFromProcess } from "../../src/config/config.ts";
import { denoFileSystem } from "../../src/disk/file_system.ts";
import { systemClock } from "../../src/ports/clock.ts";
import { type Failpoint, withFailpoint } from "./failpoints.ts";
import { withDiskFaults } from "./disk_faults.ts";

const HOUR_MS = 3_600_000;

const loaded = loadConfigFromProcess();
if ("problems" in loaded) throw new Error(JSON.stringify(loaded.problems));
const { config } = loaded;

let armed = false;
let aheadMs = 0;
Deno.addSignalListener("SIGUSR1", () => armed = true);
Deno.addSignalListener("SIGUSR2", () => aheadMs = aheadMs > 0 ? -HOUR_MS : HOUR_MS);

const [failpoint] = Deno.args as Failpoint[];
const disk = withDiskFaults(denoFileSystem, `${config.dataDir}/fault`);
const fs = failpoint === undefined
  ? disk
  : withFailpoint(disk, failpoint, () => armed && Deno.kill(Deno.pid, "SIGKILL"));
const app = await createApp(config, {
  clock: { ...systemClock, now: () => Date.now() + aheadMs },
  fs,
  // Small segments, so that they are begun and removed often.
  segmentBytes: 16 * 1024,
});
const stopped = new Promise<void>((resolve) => Deno.addSignalListener("SIGTERM", resolve));
await app.start();
Deno.stderr.writeSync(new TextEncoder().encode("failpoints are set\n"));
await stopped;
await app.stop();
Deno.exit(0);
