import assert from "node:assert/strict";
import { ofProcesses, ofThreads, since, timesIn } from "../../bench/load/processor_time.ts";

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

Deno.test("workers of the kernel have one name, whatever they were at work on last", () => {
  const line = (id: number, name: string, user: number, system: number) =>
    `${id} (${name}) S 2 0 0 0 -1 69238880 0 0 0 0 ${user} ${system} 0 0 20 0 1 0 9`;
  const before = timesIn(`${line(7, "kworker/0:1-events", 0, 900)}\n`, 2);
  const text = [line(7, "kworker/0:1-writeback", 0, 901), line(8, "kworker/u8:2", 0, 4)].join("\n");
  const added = since(before, timesIn(text, 2));
  assert.deepEqual([[...added.keys()], added.get("kworker")!.toFixed(2)], [["kworker"], "0.05"]);
});
