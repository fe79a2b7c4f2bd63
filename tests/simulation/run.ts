/**
 * `deno task simulate [--seeds N] [--from S] [--bug NAME]`: runs the simulation for N seeds from S
 * on; with `--seed S` for one, with everything that happens in it. Ends with 1 when an invariant
 * broke; prints the seed that shows it.
 */
import { parseArgs } from "node:util";
import { type Bug, BUGS } from "./bugs.ts";
import { simulate } from "./simulation.ts";

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    from: { type: "string" },
    seed: { type: "string" },
    bug: { type: "string" },
  },
});
const bug = BUGS.find((name) => name === values.bug) as Bug | undefined;
if (values.bug !== undefined && bug === undefined) {
  throw new Error(`--bug is one of ${BUGS.join(", ")}`);
}

if (values.seed !== undefined) {
  const { violation } = await simulate(Number(values.seed), bug, print);
  print(violation === undefined ? "every invariant held" : `broken: ${violation}`);
  Deno.exit(violation === undefined ? 0 : 1);
}

const seeds = Number(values.seeds ?? 10_000);
const faults = new Map<string, number>();
let [acknowledged, reads, broken] = [0, 0, 0];
const first = Number(values.from ?? 1);
for (let seed = first; seed < first + seeds && broken < 10; seed++) {
  const outcome = await simulate(seed, bug);
  for (const [kind, count] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
  acknowledged += outcome.acknowledged;
  reads += outcome.reads;
  if (outcome.violation === undefined) continue;
  broken++;
  print(`seed ${seed}: ${outcome.violation}`);
}
for (const [kind, count] of [...faults].sort()) print(`${String(count).padStart(10)} × ${kind}`);
print(`${seeds} seeds, ${acknowledged} acknowledged writes, ${reads} reads, ${broken} broken`);
Deno.exit(broken === 0 ? 0 : 1);
