/** The quick form of the trials, as tests: `deno task leases` does each of them more often. */
import assert from "node:assert/strict";
import { seedOf } from "../fault/scenario.ts";
import { Random } from "../support/random.ts";
import type { Keeper } from "./trial.ts";
import { TRIALS } from "./trials.ts";
import { assertSafe, tryOut } from "./try_out.ts";

export function trialTests(keeper: Keeper): void {
  const own = TRIALS.filter(({ keepers, times }) => keepers.includes(keeper) && times.few > 0);
  for (const trial of own) {
    Deno.test(`${keeper} keeps the lease, and ${trial.what}: never two that commit`, async () => {
      const random = new Random(seedOf("FAULT_SEED"));
      const verdict = await tryOut(trial, keeper, trial.times.few, random);
      assertSafe(verdict);
      assert.ok(verdict.commits > 10 && verdict.terms > 0);
    });
  }
}
