/**
 * Has the metrics of the process by their usual names. The number of open files is not among them:
 * Deno reads `/proc` only with all rights.
 */
import process from "node:process";
import type { Registry } from "prom-client";
import { sampled } from "./gauges.ts";

export function registerProcess(registry: Registry, startedMs: number): void {
  sampled(
    registry,
    "process_start_time_seconds",
    "Start time since the Unix epoch.",
    () => startedMs / 1000,
  );
  sampled(
    registry,
    "process_cpu_seconds_total",
    "Processor time used, in user mode and in the kernel.",
    () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  );
  sampled(
    registry,
    "process_resident_memory_bytes",
    "Resident memory.",
    () => Deno.memoryUsage().rss,
  );
  sampled(
    registry,
    "process_heap_bytes",
    "JavaScript heap in use.",
    () => Deno.memoryUsage().heapUsed,
  );
}
