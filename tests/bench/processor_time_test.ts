import assert from "node:assert/strict";
import { ofProcesses, ofThreads, since } from "../../bench/load/processor_time.ts";

Deno.test("the time of processes and threads grows with what they do", () => {
  const before = { processes: ofProcesses(), threads: ofThreads(Deno.pid) };
  const added = () => {
    const processes = since(before.processes, ofProcesses());
    const threads = since(before.threads, ofThreads(Deno.pid));
    return [
      [...processes.values()].reduce((sum, seconds) => sum + seconds, 0),
      [...threads.values()].reduce((sum, seconds) => sum + seconds, 0),
    ] as const;
  };
  let [all, own] = added();
  // Reading that is work enough: the kernel counts in hundredths of a second.
  while (own < 0.05) [all, own] = added();
  assert.ok(all >= own, `all processes ${all}, this one ${own}`);
});
