/**
 * Is what a person can do about the way of writes to the store: flush now, pause, resume. It is of
 * this instance, and ends with it: a start that nobody watches must not leave writes where they are.
 */
import { AppError } from "./errors.ts";
import type { PauseSwitch } from "./pause_switch.ts";
import type { Clock } from "./ports/clock.ts";
import type { Outward } from "./service_parts.ts";
import type { Metrics } from "./telemetry/metrics.ts";

interface SteeringParts {
  readonly pausing: PauseSwitch;
  readonly service: () => {
    readonly outward: Outward | undefined;
    readonly status: { readonly depth: number } | undefined;
  };
  readonly clock: Pick<Clock, "now" | "monotonicMs" | "setTimeout">;
  readonly metrics: Pick<Metrics, "paused">;
}

/** Whoever asks is answered after so long, however far it is. */
const FLUSH_LIMIT_MS = 10_000;
/** What is under way has its own deadlines, and most often ends at once. */
const QUIET_LIMIT_MS = 5_000;
const LOOK_MS = 20;

export class Steering {
  #pausedMs: number | undefined;

  constructor(private readonly parts: SteeringParts) {}

  /** Nothing is brought to the store since then, in Unix milliseconds; undefined while it is. */
  get pausedMs(): number | undefined {
    return this.#pausedMs;
  }

  /** So many writes are accepted, and not in the store for all that is known. */
  get waiting(): number {
    return this.parts.service().status?.depth ?? 0;
  }

  /** It is for who looks whether this is ready; undefined while there is nothing to say. */
  get description(): string | undefined {
    if (this.#pausedMs === undefined) return undefined;
    const since = new Date(this.#pausedMs).toISOString();
    return `paused since ${since}: writes stay in the journal until POST /admin/resume`;
  }

  /**
   * Lets nothing begin any more.
   * @returns whether what was under way has ended, for which this waits a moment
   */
  async pause(): Promise<boolean> {
    const { pausing, clock, metrics, service } = this.parts;
    pausing.turn(true);
    this.#pausedMs ??= clock.now();
    metrics.paused.set(1);
    return await this.#becomes(() => service().outward?.isBusy !== true, QUIET_LIMIT_MS);
  }

  resume(): void {
    const { pausing, metrics } = this.parts;
    this.#pausedMs = undefined;
    metrics.paused.set(0);
    pausing.turn(false);
  }

  /**
   * Flushes now.
   * @returns whether the store has all that was durable when this was called; false after a while
   * @throws AppError `paused`, or `not-ready` while the service starts or stops
   */
  async flush(): Promise<boolean> {
    if (this.parts.pausing.isPaused) {
      throw new AppError(
        "paused",
        "Nothing is brought to the store while this instance is paused. Resume it first.",
      );
    }
    const isStored = this.parts.service().outward?.flushNow();
    if (isStored !== undefined) return await this.#becomes(isStored, FLUSH_LIMIT_MS);
    throw new AppError("not-ready", "The service starts or stops just now. Try again in a moment.");
  }

  async #becomes(isSo: () => boolean, limitMs: number): Promise<boolean> {
    const { clock } = this.parts;
    const giveUpAt = clock.monotonicMs() + limitMs;
    while (!isSo()) {
      if (clock.monotonicMs() >= giveUpAt) return false;
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, LOOK_MS));
    }
    return true;
  }
}
