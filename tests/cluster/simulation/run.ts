/**
 * `deno task simulate:leases [--seeds N] [--from S] [--bug NAME]`: runs the simulation of leaders for
 * N seeds from S on; with `--seed S` for one, with everything that happens in it. Ends with 1 when an
 * invariant broke; prints the seed that shows it.
 */
import { parseArgs } from "node:util";
import { LEASE_BUGS, simulateLeases } from "./simulation.ts";

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
const bug = LEASE_BUGS.find((name) => name === values.bug);
if (values.bug !== undefined && bug === undefined) {
  throw new Error(`--bug is one of ${LEASE_BUGS.join(", ")}`);
}

if (values.seed !== undefined) {
  const { violation } = await simulateLeases(Number(values.seed), bug, print);
  print(violation === undefined ? "every invariant held" : `broken: ${violation}`);
  Deno.exit(violation === undefined ? 0 : 1);
}

const [first, seeds] = [Number(values.from ?? 1), Number(values.seeds ?? 2_000)];
const faults = new Map<string, number>();
let [terms, commits, refused, broken] = [0, 0, 0, 0];
for (let seed = first; seed < first + seeds && broken < 10; seed++) {
  const outcome = await simulateLeases(seed, bug);
  for (const [kind, count] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
  terms += outcome.terms;
  commits += outcome.commits;
  refused += outcome.refused;
  if (outcome.violation === undefined) continue;
  broken++;
  print(`seed ${seed}: ${outcome.violation}`);
}
for (const [kind, count] of [...faults].sort()) print(`${String(count).padStart(10)} × ${kind}`);
print(`${seeds} seeds, ${terms} terms, ${commits} commits, ${refused} refused, ${broken} broken`);
Deno.exit(broken === 0 ? 0 : 1);
