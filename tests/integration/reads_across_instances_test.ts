/** What clients see that write at one instance and read at others, while Redis forgets and cuts. */
import assert from "node:assert/strict";
import { cutAll, emptied, FULL, measureBehind } from "../scaled/behind.ts";

/**
 * A second is promised, and `deno task bench:behind` measures that; a machine that runs other tests
 * beside this one takes longer.
 */
const HEALTHY_MS = 2_000;
/** What was outdated for good would be so until its copy expires, which takes minutes. */
const TROUBLED_MS = 4_000;

function test(
  behaviour: string,
  boundMs: number,
  how: Omit<Parameters<typeof measureBehind>[0], "lastsMs">,
): void {
  Deno.test(behaviour, async () => {
    const { worstMs, reads } = await measureBehind({ ...how, lastsMs: 6_000 });
    assert.ok(reads > 300, `${reads} reads`);
    assert.ok(worstMs <= boundMs, `an answer was ${worstMs.toFixed(0)} ms behind`);
  });
}

test("a reader of another instance is at most a moment behind, and never goes back", HEALTHY_MS, {
  trouble: undefined,
  writers: "many",
});

test("the same after connections were lost, though flushes are rare", HEALTHY_MS, {
  trouble: cutAll(1_500),
  writers: "few",
});

test("the same with a broker between, while connections are cut", TROUBLED_MS, {
  trouble: cutAll(1_000),
  writers: "many",
  engine: "rabbitmq",
});

test("the same while Redis loses all it has", TROUBLED_MS, {
  trouble: emptied(100),
  writers: "many",
});

test("the same while a full Redis evicts what was just written", TROUBLED_MS, {
  trouble: FULL,
  writers: "many",
});
