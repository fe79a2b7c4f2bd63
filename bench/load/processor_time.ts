/** Reads from /proc how much of the processors' time processes and threads took. */

import { output } from "../../tests/support/services.ts";

/** The kernel counts in hundredths of a second. */
const TICKS_PER_SECOND = 100;

/** Seconds by name, of all that have the name. */
export type ProcessorTime = ReadonlyMap<string, number>;

/** Returns the time of all processes; that of children that ended is their parent's. */
export function ofProcesses(): Promise<ProcessorTime> {
  return timeOf("/proc/[0-9]*/stat", 4);
}

/** Returns the time of the threads of a process; the main one is called `main`. */
export function ofThreads(pid: number): Promise<ProcessorTime> {
  return timeOf(`/proc/${pid}/task/*/stat`, 2, pid);
}

/** Returns the seconds that one process took, all its threads. */
export async function ofProcess(pid: number): Promise<number> {
  const times = await timeOf(`/proc/${pid}/stat`, 2);
  return [...times.values()].reduce((sum, seconds) => sum + seconds, 0);
}

/** Returns what was added from one reading to the next. */
export function since(before: ProcessorTime, after: ProcessorTime): ProcessorTime {
  return new Map([...after].map(([name, seconds]) => [name, seconds - (before.get(name) ?? 0)]));
}

/** A program reads the files, as this runtime gives them to who may do everything only. */
async function timeOf(files: string, fields: number, main?: number): Promise<ProcessorTime> {
  // Some end while they are read.
  const text = await output("sh", ["-c", `cat ${files} 2>/dev/null || true`]);
  return timesIn(text, fields, main);
}

/** Reads lines as /proc has them, of which so many numbers are times. */
export function timesIn(lines: string, fields: number, main?: number): ProcessorTime {
  const times = new Map<string, number>();
  for (const line of lines.trimEnd().split("\n")) {
    const [id, name, rest] = /^([0-9]+) \((.*)\) (.*)$/.exec(line)!.slice(1);
    // Behind the name come the state and ten numbers, then the time: user, system, and of children.
    const ticks = rest!.split(" ").slice(11, 11 + fields).map(Number);
    const seconds = ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
    // A worker of the kernel is called after what it did last: by that name one that has worked
    // since the machine's start would seem to have done all of it just now.
    const lasting = name!.startsWith("kworker/") ? "kworker" : name!;
    const known = Number(id) === main ? "main" : lasting;
    times.set(known, (times.get(known) ?? 0) + seconds);
  }
  return times;
}
