import assert from "node:assert/strict";
import { seedOf } from "../fault/scenario.ts";
import { Random } from "../support/random.ts";
import { brokenIn, type Surrounding } from "./surrounding.ts";

/** A short run of each. */
export function testSurroundings(surroundings: readonly Surrounding[]): void {
  for (const surrounding of surroundings) {
    Deno.test(`nothing is lost, doubled, wrong, absent or stale: ${surrounding.name}`, async () => {
      const seed = seedOf("FAULT_SEED");
      const counts = await surrounding.run(surrounding.rounds.few, new Random(seed));
      assert.deepEqual(brokenIn(surrounding, counts), [], `FAULT_SEED=${seed}`);
    });
  }
}
