/** Does a trial as often as is wanted, and judges what came of it. */
import assert from "node:assert/strict";
import type { Random } from "../support/random.ts";
import { Electorate, LIFE_MS } from "./electorate.ts";
import type { InstanceSettings, Keeper, Trial, Verdict } from "./trial.ts";

/**
 * The lease has to end, then somebody has to ask for it and to begin a term, which waits for the
 * last transaction of the one before; who was overtaken rests up to two lives. The machine may be
 * busy.
 */
export const LONGEST_MS = 4 * LIFE_MS + 4_000;

export async function tryOut(
  trial: Trial,
  keeper: Keeper,
  times: number,
  random: Random,
  mistakes: Pick<InstanceSettings, "acceptsStaleTerms"> = {},
): Promise<Verdict> {
  await using electorate = await Electorate.start(keeper, mistakes);
  let excusedMs = 0;
  for (let i = 0; i < times; i++) {
    excusedMs = Math.max(excusedMs, await trial.once(electorate, random) ?? 0);
  }
  await electorate.untilSomebodyLeads();
  return await electorate.judge(times, excusedMs);
}

export function assertSafe({ tooLate, longestMs }: Verdict): void {
  assert.deepEqual(tooLate.slice(0, 5), [], "two leaders committed");
  assert.ok(longestMs <= LONGEST_MS, `nobody led for ${longestMs} ms`);
}
