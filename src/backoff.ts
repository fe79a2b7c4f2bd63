/** Says how long to wait before what has failed is tried again. */
import { ExponentialBackoff, type IBackoff, noJitterGenerator } from "cockatiel";

interface BackoffOptions {
  /** The first wait is bounded by this, and each further one by twice the bound before … */
  readonly firstMs: number;
  /** … up to here. */
  readonly maxMs: number;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
}

/**
 * Waits have full jitter: anywhere between now and the exponential bound, so that many instances do
 * not come back in step. The package gives only the bounds, because its own jitter comes from a
 * chance that no test can choose.
 */
export class Backoff {
  readonly #bounds: ExponentialBackoff<object>;
  #bound: IBackoff<unknown> | undefined;

  constructor(private readonly options: BackoffOptions) {
    const { firstMs, maxMs } = options;
    this.#bounds = new ExponentialBackoff({
      generator: noJitterGenerator,
      initialDelay: firstMs,
      maxDelay: maxMs,
    });
  }

  /** Returns the wait after one more failure in a row, in milliseconds. */
  nextMs(): number {
    this.#bound = (this.#bound ?? this.#bounds).next(undefined);
    return this.options.random() * this.#bound.duration;
  }

  /** What was tried has succeeded. */
  reset(): void {
    this.#bound = undefined;
  }
}
