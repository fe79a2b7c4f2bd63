import assert from "node:assert/strict";
import { LEASE_BUGS, type LeaseOutcome, simulateLeases } from "./simulation.ts";

const SEEDS = Number(Deno.env.get("LEASE_SEEDS") ?? 400);
/** A planted bug has to show within so many seeds. */
const SEEDS_FOR_A_BUG = 100;

/** Each of these has to have happened, or what held was never tried. */
const FAULTS = [
  "a process was stopped",
  "a process was asleep",
  "a process was killed",
  "a process was told to stop",
  "a way to the keeper was cut",
  "a way to the store was cut",
  "the lease's keeper was emptied",
  "the keeper's clock was set",
  "late on its way",
  "lost on its way",
];

Deno.test(`never two that commit, whatever fails: seeds 1 to ${SEEDS}`, async () => {
  const faults = new Map<string, number>();
  let [terms, commits, refused] = [0, 0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulateLeases(seed);
    assert.equal(outcome.violation, undefined, `seed ${seed}: ${outcome.violation}`);
    for (const [kind, count] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
    terms += outcome.terms;
    commits += outcome.commits;
    refused += outcome.refused;
  }
  assert.ok(terms > 3 * SEEDS, `only ${terms} terms were begun`);
  assert.ok(commits > 100 * SEEDS, `only ${commits} commits`);
  assert.ok(refused > SEEDS / 10, `only ${refused} were refused by the term`);
  for (const kind of FAULTS) assert.ok((faults.get(kind) ?? 0) > SEEDS, `${kind} is rare`);
});

Deno.test("the same seed is the same run of leaders, event by event", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const [first, second] = [await simulateLeases(seed), await simulateLeases(seed)];
    assert.equal(first.traceHash, second.traceHash, `seed ${seed}`);
  }
});

for (const bug of LEASE_BUGS) {
  Deno.test(`the simulation of leases finds a planted bug: ${bug}`, async () => {
    let found: LeaseOutcome | undefined;
    for (let seed = 1; seed <= SEEDS_FOR_A_BUG && found === undefined; seed++) {
      const outcome = await simulateLeases(seed, bug);
      if (outcome.violation !== undefined) found = outcome;
    }
    assert.ok(found, `not within ${SEEDS_FOR_A_BUG} seeds`);
    assert.equal((await simulateLeases(found.seed, bug)).violation, found.violation, "it replays");
    assert.equal((await simulateLeases(found.seed)).violation, undefined, "without it all is well");
  });
}
