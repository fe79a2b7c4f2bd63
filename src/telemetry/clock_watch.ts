/**
 * Tells when the wall clock is not to be trusted: far behind the last write of an earlier run, or
 * set while this one runs. Times without a `ts` of their own come from it, and the newest time
 * wins.
 */
import type { Clock } from "../ports/clock.ts";
import type { Log } from "./log.ts";

interface ClockWatchParts {
  readonly clock: Clock;
  readonly log: Pick<Log, "warn">;
  /** It counts each step. */
  readonly steps: { inc(): void };
}

/** Smaller steps are those of a time service at work, and of a machine that is busy. */
const STEP_MS = 60_000;
/** A slewed clock moves by less than a millisecond between two looks. */
const SAMPLE_MS = 1_000;

export class ClockWatch {
  #aheadMs = 0;
  #stop: (() => void) | undefined;

  constructor(private readonly parts: ClockWatchParts) {}

  /**
   * @param lastAcceptedMs when the last write that is known was accepted, Unix milliseconds; 0 when
   * none is known
   */
  start(lastAcceptedMs: number): void {
    const { clock } = this.parts;
    const nowMs = clock.now();
    this.#aheadMs = nowMs - clock.monotonicMs();
    if (lastAcceptedMs - nowMs > STEP_MS) this.#warnOfThePast(nowMs, lastAcceptedMs);
    this.#stop = clock.setInterval(() => this.#sample(), SAMPLE_MS);
  }

  stop(): void {
    this.#stop?.();
  }

  #sample(): void {
    const { clock } = this.parts;
    const nowMs = clock.now();
    const aheadMs = nowMs - clock.monotonicMs();
    const stepMs = aheadMs - this.#aheadMs;
    // A clock that is slewed changes by less than a millisecond a second, and is followed.
    this.#aheadMs = aheadMs;
    if (Math.abs(stepMs) > STEP_MS) this.#warnOfAStep(nowMs, stepMs);
  }

  #warnOfThePast(nowMs: number, lastAcceptedMs: number): void {
    this.#warn(
      "The clock is behind the last write that this directory accepted. Until it has " +
        "caught up, records without ts lose against " +
        "those accepted before; records whose ts is more than a day ahead of the clock " +
        "are refused; writes are ordered from the last time on",
      {
        now: text(nowMs),
        lastAccepted: text(lastAcceptedMs),
        behindSeconds: seconds(lastAcceptedMs - nowMs),
      },
    );
  }

  #warnOfAStep(nowMs: number, stepMs: number): void {
    const meaning = stepMs < 0
      ? "Until it has caught up, records without ts lose against those accepted before; " +
        "writes are ordered from the last time on"
      : "Records without ts get the new time: should the clock be set back, they win " +
        "against what comes after";
    const what = stepMs < 0
      ? "The clock was set back"
      : "The clock jumped forward: it was set, or the machine slept";
    this.#warn(`${what}. ${meaning}`, {
      now: text(nowMs),
      was: text(nowMs - stepMs),
      bySeconds: seconds(stepMs),
    });
  }

  #warn(message: string, fields: Readonly<Record<string, unknown>>): void {
    this.parts.steps.inc();
    this.parts.log.warn(message, { ...fields, event: "clock-stepped" });
  }
}

const seconds = (ms: number) => Math.round(ms / 1000);

/** Returns ISO 8601, as far as there are dates: beyond them the number is all there is. */
function text(unixMs: number): string {
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? String(unixMs) : date.toISOString();
}
