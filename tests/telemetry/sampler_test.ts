import assert from "node:assert/strict";
import { Sampler, type SamplerOptions } from "../../src/telemetry/sampler.ts";

const SPAN = "00f067aa0ba902b7";
const LOW = `00-4bf92f3577b34da6a3c0000000000001-${SPAN}-`;
const HIGH = `00-4bf92f3577b34da6a3cfffffffffffff-${SPAN}-`;

function decide(sampler: SamplerOptions["sampler"], traceparent: string | null, random = 0.5) {
  const found = new Sampler({ sampler, ratio: 0.1 }, () => random).sample(traceparent);
  return found === undefined || found === "root" ? found : "child";
}

Deno.test("without a parent the part that is asked for is sampled", () => {
  for (const prefix of ["", "parentbased_"] as const) {
    assert.equal(decide(`${prefix}always_on`, null, 0.999), "root");
    assert.equal(decide(`${prefix}always_off`, null, 0), undefined);
    assert.equal(decide(`${prefix}traceidratio`, null, 0.099), "root");
    assert.equal(decide(`${prefix}traceidratio`, null, 0.1), undefined);
    assert.equal(decide(`${prefix}always_on`, "not a trace"), "root");
  }
});

Deno.test("a parent decides where it is asked", () => {
  for (const root of ["always_on", "always_off", "traceidratio"] as const) {
    assert.equal(decide(`parentbased_${root}`, `${LOW}01`), "child", root);
    assert.equal(decide(`parentbased_${root}`, `${LOW}00`), undefined, root);
  }
});

Deno.test("where no parent is asked its trace goes on, and its number decides by a ratio", () => {
  assert.equal(decide("always_on", `${LOW}00`), "child");
  assert.equal(decide("always_off", `${LOW}01`), undefined);
  for (const flags of ["00", "01"]) {
    assert.equal(decide("traceidratio", LOW + flags), "child");
    assert.equal(decide("traceidratio", HIGH + flags), undefined);
  }
});
