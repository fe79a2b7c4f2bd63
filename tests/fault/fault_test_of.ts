import { assertNothingBroken } from "./load.ts";
import { Random } from "../support/random.ts";
import { type Scenario, seedOf } from "./scenario.ts";

/**
 * A short run of each scenario. What each has to show is the same: see {@link assertNothingBroken}.
 */
export function testScenarios(scenarios: readonly Scenario[]): void {
  for (const { fault, rounds, run } of scenarios) {
    Deno.test(`nothing is lost, doubled or outdated when ${fault}`, async () => {
      const seed = seedOf("FAULT_SEED");
      assertNothingBroken(await run(rounds.few, new Random(seed)), `FAULT_SEED=${seed}`);
    });
  }
}
