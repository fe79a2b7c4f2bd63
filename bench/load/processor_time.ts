/** Reads from /proc how much of the processors' time processes and threads took. */

/** The kernel counts in hundredths of a second. */
const TICKS_PER_SECOND = 100;

/** Seconds by name, of all that have the name. */
export type ProcessorTime = ReadonlyMap<string, number>;

/** Returns the time of all processes; that of children that ended is their parent's. */
export function ofProcesses(): ProcessorTime {
  return timeOf("/proc", (name) => /^[0-9]+$/.test(name), 4);
}

/** Returns the time of the threads of a process; the main one is called `main`. */
export function ofThreads(pid: number): ProcessorTime {
  return timeOf(`/proc/${pid}/task`, () => true, 2, `${pid}`);
}

/** Returns what was added from one reading to the next. */
export function since(before: ProcessorTime, after: ProcessorTime): ProcessorTime {
  return new Map([...after].map(([name, seconds]) => [name, seconds - (before.get(name) ?? 0)]));
}

function timeOf(
  folder: string,
  isMeant: (name: string) => boolean,
  fields: number,
  main?: string,
): ProcessorTime {
  const times = new Map<string, number>();
  for (const { name: id } of Deno.readDirSync(folder)) {
    if (!isMeant(id)) continue;
    let stat: string;
    try {
      stat = Deno.readTextFileSync(`${folder}/${id}/stat`);
    } catch {
      continue; // It ended meanwhile.
    }
    const name = id === main ? "main" : stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    // Behind the name come the state and ten numbers, then the time: user, system, and of children.
    const numbers = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 11 + fields);
    const seconds = numbers.reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
    times.set(name, (times.get(name) ?? 0) + seconds);
  }
  return times;
}
