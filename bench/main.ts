/** `deno task bench`: see docs/benchmarks.md. */
import { drain } from "./groups/drain.ts";
import { growth } from "./groups/growth.ts";
import { latency } from "./groups/latency.ts";
import { memory } from "./groups/memory.ts";
import { GROUP_NAMES, type GroupName } from "./groups/names.ts";
import { reads } from "./groups/reads.ts";
import { start } from "./groups/start.ts";
import { writes } from "./groups/writes.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { print } from "./print.ts";
import { report } from "./report.ts";
import type { Findings } from "./figures.ts";
import { saveResult, surroundings } from "./result.ts";
import { Servers } from "./sides/servers.ts";

type Group = (servers: Servers, options: Options) => Promise<Findings>;
const GROUPS: Readonly<Record<GroupName, Group>> = {
  writes,
  reads,
  drain,
  latency,
  growth,
  memory,
  start,
};

function optionsOrUsage(): Options {
  try {
    return parseOptions(Deno.args, GROUP_NAMES);
  } catch (error) {
    print(`${(error as Error).message}\n\n${USAGE}`);
    Deno.exit(2);
  }
}

const options = optionsOrUsage();
for (const group of options.groups) {
  const startedMs = performance.now();
  await using servers = await Servers.start();
  print(`== ${group}`);
  const findings = await GROUPS[group](servers, options);
  const tookSeconds = Math.round((performance.now() - startedMs) / 1_000);
  const where = await surroundings(options.checkout);
  const { seconds } = options;
  await saveResult(options.out, {
    group,
    ...where,
    seconds,
    tookSeconds,
    arguments: Deno.args,
    ...findings,
  });
  await report(options.out);
  print(`== ${group} took ${tookSeconds} s`);
}
