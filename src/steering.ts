/**
 * Is what a person can do about the way of writes to the store: flush now, pause, drain, resume. It
 * is of this instance, and ends with it: a start that nobody watches must not leave writes where
 * they are.
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
    /** A worker has none: it takes what a broker gives it. */
    acceptWrites?(accepts: boolean): void;
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
  #isDrained = false;

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

  /** It says why this is not ready; undefined while nobody has drained it. */
  get refusal(): string | undefined {
    return this.#isDrained
      ? "drained: writes are turned away until POST /admin/resume, or a restart"
      : undefined;
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
    const { pausing, metrics, service } = this.parts;
    this.#isDrained = false;
    service().acceptWrites?.(true);
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
    return await this.#becomes(this.#flushNow(), FLUSH_LIMIT_MS);
  }

  /**
   * Accepts no more, and flushes all there is. It may be called again, to go on.
   * @returns whether nothing is left; false after a while
   * @throws AppError as {@link flush}; `no-such-path` at a worker
   */
  async drain(): Promise<boolean> {
    const service = this.parts.service();
    if (service.acceptWrites === undefined) {
      throw new AppError(
        "no-such-path",
        "A worker accepts no writes. Stop it: what it has not stored is given to others.",
      );
    }
    this.#flushNow();
    this.#isDrained = true;
    service.acceptWrites(false);
    // What was accepted a moment ago becomes durable meanwhile.
    let isStored = this.#flushNow();
    const isEnded = await this.#becomes(() => {
      // Somebody resumed it meanwhile.
      if (!this.#isDrained) return true;
      if (isStored()) isStored = this.#flushNow();
      return this.waiting === 0;
    }, FLUSH_LIMIT_MS);
    return isEnded && this.#isDrained;
  }

  /** @returns tells whether the store has what is durable by now. @throws as {@link flush} */
  #flushNow(): () => boolean {
    if (this.parts.pausing.isPaused) {
      throw new AppError(
        "paused",
        "Nothing is brought to the store while this instance is paused. Resume it first.",
      );
    }
    const isStored = this.parts.service().outward?.flushNow();
    if (isStored !== undefined) return isStored;
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
