import assert from "node:assert/strict";
import { ofProcesses, ofThreads, since } from "../../bench/load/processor_time.ts";

Deno.test("the time of processes and threads grows with what they do", async () => {
  const before = { processes: await ofProcesses(), threads: await ofThreads(Deno.pid) };
  const added = async () => {
    const processes = since(before.processes, await ofProcesses());
    const threads = since(before.threads, await ofThreads(Deno.pid));
    return [
      [...processes.values()].reduce((sum, seconds) => sum + seconds, 0),
      [...threads.values()].reduce((sum, seconds) => sum + seconds, 0),
    ] as const;
  };
  let [all, own] = await added();
  // Reading that is work enough: the kernel counts in hundredths of a second.
  while (own < 0.05) [all, own] = await added();
  assert.ok(all >= own, `all processes ${all}, this one ${own}`);
});
