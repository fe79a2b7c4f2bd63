/**
 * Decides which requests are told, by the rules of OpenTelemetry's samplers of the same names,
 * before anything of a span is made.
 */
import { parseTraceparent, type TraceParent } from "../trace_context.ts";

type RootSampler = "always_on" | "always_off" | "traceidratio";

export interface SamplerOptions {
  readonly sampler: RootSampler | `parentbased_${RootSampler}`;
  /** Of requests without a parent this part is sampled, from 0 to 1, by a ratio alone. */
  readonly ratio: number;
}

/** So many of the last digits of a trace id are random, by W3C Trace Context. */
const RANDOM_DIGITS = 13;
const RANDOM_RANGE = 16 ** RANDOM_DIGITS;

export class Sampler {
  readonly #isParentBased: boolean;
  /** It is the part of those that is sampled for which no parent decides. */
  readonly #part: number;

  /** @param random returns a number in [0, 1) */
  constructor({ sampler, ratio }: SamplerOptions, private readonly random: () => number) {
    this.#isParentBased = sampler.startsWith("parentbased_");
    const root = sampler.replace("parentbased_", "");
    this.#part = root === "always_on" ? 1 : root === "always_off" ? 0 : ratio;
  }

  /** Returns the parent of a request that is sampled, or "root" for one without; else undefined. */
  sample(traceparent: string | null): TraceParent | "root" | undefined {
    const parent = traceparent === null ? undefined : parseTraceparent(traceparent);
    if (parent === undefined) return this.random() < this.#part ? "root" : undefined;
    if (this.#isParentBased) return parent.sampled ? parent : undefined;
    // All who see this trace and have the same ratio decide alike.
    const chance = parseInt(parent.traceId.slice(-RANDOM_DIGITS), 16) / RANDOM_RANGE;
    return chance < this.#part ? parent : undefined;
  }
}
