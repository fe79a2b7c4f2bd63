import assert from "node:assert/strict";
import { seedOf } from "../fault/scenario.ts";
import { Random } from "../support/random.ts";
import { trialTests } from "./tests_of.ts";
import { TRIALS } from "./trials.ts";
import { tryOut } from "./try_out.ts";

trialTests("PostgreSQL");

Deno.test("planted: a term that is over is accepted, and the trial finds it", async () => {
  const [stopped] = TRIALS;
  const random = new Random(seedOf("FAULT_SEED"));
  const verdict = await tryOut(stopped!, "PostgreSQL", 3, random, { acceptsStaleTerms: true });
  assert.ok(verdict.tooLate.length > 0);
  assert.match(verdict.tooLate[0]!, /^commit \d+: \d\/1 by the term \d+, after \d+$/);
});
