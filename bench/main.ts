/** `deno task bench`: see docs/benchmarks.md. */
import { writes } from "./groups/writes.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { print } from "./print.ts";
import { type Findings, saveResult, surroundings } from "./result.ts";
import { Servers } from "./sides/servers.ts";

const GROUPS: Readonly<Record<string, (servers: Servers, options: Options) => Promise<Findings>>> =
  {
    writes,
  };

function optionsOrUsage(): Options {
  try {
    return parseOptions(Deno.args, Object.keys(GROUPS));
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
  const findings = await GROUPS[group]!(servers, options);
  await saveResult(options.out, {
    group,
    ...await surroundings(options.checkout),
    seconds: options.seconds,
    tookSeconds: Math.round((performance.now() - startedMs) / 1_000),
    arguments: Deno.args,
    ...findings,
  });
}
