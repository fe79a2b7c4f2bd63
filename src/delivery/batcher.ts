/**
 * Decides when delivery runs: on a timer, or as soon as a batch is full. One step runs at a time,
 * in order; a failed one is tried again, later and later, until the sink has what is in hand. What
 * a step does is delivery's.
 */
import { Backoff } from "../backoff.ts";
import { StoreError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { PauseSwitch } from "../pause_switch.ts";
import { FlushOutage } from "../telemetry/flush_outage.ts";
import type { Log } from "../telemetry/log.ts";
import type { Delivery } from "./delivery.ts";
import { Pace } from "./pace.ts";

export interface BatcherOptions {
  /** A flush starts as soon as this many rows wait … */
  readonly size: number;
  /** … and at least this often, in milliseconds. */
  readonly intervalMs: number;
  /** One flush has at most so many rows, when there is a backlog. */
  readonly max: number;
}

interface BatcherParts {
  readonly delivery: Pick<Delivery, "step" | "unsettled" | "rowsInHand" | "isAhead">;
  readonly pausing: PauseSwitch;
  readonly clock: Pick<Clock, "monotonicMs" | "setInterval" | "setTimeout">;
  /** It returns a number in [0, 1), by which the retries of many instances are spread. */
  readonly random: () => number;
  readonly log: Log;
  /** It is true while somebody waits until what they wrote is in the sink. */
  readonly isAwaited: () => boolean;
}

/**
 * `stopped` has not started yet, or was stopped; `idle` waits for a full batch or its time;
 * `gathering` has a full batch, and lets it grow; `flushing` has a flush under way; between two of
 * a backlog `resting` leaves the processors to those who write meanwhile; after a failed flush
 * `backing off` waits for the next one; `paused` begins none until a person resumes; `draining`
 * flushes only as {@link Batcher.drain} says.
 */
export type BatcherState =
  | "stopped"
  | "idle"
  | "gathering"
  | "flushing"
  | "resting"
  | "backing off"
  | "paused"
  | "draining";

/** After `stored` a batch is settled; with `empty` none was there; what `failed` is tried again. */
type FlushOutcome = "stored" | "empty" | "failed";

/** After `drained` nothing durable waits any more; otherwise what is left is in the journal. */
export type DrainOutcome = "drained" | "failed" | "paused" | "time is up";

/** In these it waits for a time, or for more, and can begin at once. */
const WAITING: ReadonlySet<BatcherState> = new Set(["idle", "gathering", "resting", "backing off"]);

/** The first wait is bounded by this, and each further failure doubles the bound … */
const RETRY_MS = 200;
/** … up to here, as nobody notices so long a wait once a store is back. */
const RETRY_MAX_MS = 5_000;

/**
 * Under load a flush begins this long after the one before it: what a transaction costs, here and
 * in the store, is shared by more rows then, and what a user wrote several times is brought to the
 * cache once. By COPY a row of a flush of 50 cost 37 µs of both, one of a flush of 1,000 cost 9, and
 * one of 5,000 cost 5.5.
 */
const GATHER_MS = 200;
/** … or this long, as long as somebody waits for it. */
const AWAITED_GATHER_MS = 20;
/** While it gathers it looks this often whether it is to go on. */
const GATHER_STEP_MS = 2;
/** More rows in one flush make a row no cheaper. */
const ENOUGH_ROWS = 5_000;

export class Batcher {
  #state: BatcherState = "stopped";
  #begunMs = -Infinity;
  /** The last flush had so many rows. */
  #lastRows = 0;
  readonly #pace: Pace;
  readonly #backoff: Backoff;
  readonly #outage: FlushOutage;
  #flushing: Promise<unknown> | undefined;
  #stopTicking: (() => void) | undefined;
  #stopListening: (() => void) | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(private readonly options: BatcherOptions, private readonly parts: BatcherParts) {
    this.#pace = new Pace(options.max, parts.clock);
    const { random, log, clock } = parts;
    const meanwhile = "what waits stays in the journal, and is tried again";
    this.#outage = new FlushOutage({ log, clock, meanwhile });
    this.#backoff = new Backoff({ firstMs: RETRY_MS, maxMs: RETRY_MAX_MS, random });
  }

  get state(): BatcherState {
    return this.#state;
  }

  start(): void {
    const { clock, pausing } = this.parts;
    this.#state = pausing.isPaused ? "paused" : "idle";
    this.#stopListening = pausing.onTurn(() => this.#turned());
    this.#stopTicking = clock.setInterval(
      () => this.#state === "idle" && this.#begin(),
      this.options.intervalMs,
    );
    this.notify();
  }

  /** Flushes what waits without waiting for its time, or for more; not while paused. */
  flushNow(): void {
    if (!WAITING.has(this.#state)) return;
    this.#stopWaiting();
    this.#begin();
  }

  /**
   * Is told that something became durable, and flushes if a batch is full; under load it lets the
   * batch grow for a moment.
   */
  notify(): void {
    if (this.#state === "idle" && this.#isBatchFull()) this.#beginWhenGathered();
  }

  /**
   * Flushes all there is until `signal` fires, and gives up with the first failure. While paused it
   * flushes nothing.
   */
  async drain(signal: AbortSignal): Promise<DrainOutcome> {
    this.#enter("draining");
    const timeIsUp = new Promise<"time is up">((resolve) => {
      if (signal.aborted) resolve("time is up");
      signal.addEventListener("abort", () => resolve("time is up"), { once: true });
    });
    if (await Promise.race([this.#flushing, timeIsUp]) === "time is up") return "time is up";
    while (this.parts.delivery.unsettled > 0) {
      // Stopped meanwhile: another half may be at work by now.
      if (this.#state !== "draining") return "failed";
      if (this.parts.pausing.isPaused) return "paused";
      const flush = this.#flushing = this.#flush();
      const outcome = await Promise.race([flush, timeIsUp]);
      if (outcome === "time is up" || outcome === "failed") return outcome;
      // What was accepted and is not durable yet is on its way; whoever drains asks again.
      if (outcome === "empty") break;
    }
    return "drained";
  }

  /** Begins no further flush, and resolves when the one under way is at its end. */
  async stop(): Promise<void> {
    this.#enter("stopped");
    await this.#flushing;
  }

  #enter(state: "draining" | "stopped"): void {
    this.#state = state;
    this.#stopTicking?.();
    this.#stopTicking = undefined;
    this.#stopListening?.();
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** A flush that is under way goes on to its end, and looks then. */
  #turned(): void {
    if (this.parts.pausing.isPaused && WAITING.has(this.#state)) {
      this.#stopWaiting();
      this.#state = "paused";
    } else if (!this.parts.pausing.isPaused && this.#state === "paused") this.#begin();
  }

  #isBatchFull(): boolean {
    return this.parts.delivery.unsettled >= this.options.size;
  }

  #begin(): void {
    this.#state = "flushing";
    this.#flushing = this.#flushWhileFull();
  }

  async #flushWhileFull(): Promise<void> {
    let outcome: FlushOutcome;
    do outcome = await this.#flush(); while (this.#flushesOn(outcome));
    // It was stopped meanwhile, or is draining.
    if (this.#state !== "flushing") return;
    if (this.parts.pausing.isPaused) this.#state = "paused";
    else if (outcome === "failed") this.#backOff();
    else if (outcome === "stored" && this.#pace.restMs > 0) this.#rest();
    else {
      this.#state = "idle";
      if (outcome === "stored") this.notify();
    }
  }

  #flushesOn(outcome: FlushOutcome): boolean {
    if (outcome !== "stored" || this.#state !== "flushing") return false;
    // What the store has already is settled before the pause.
    if (this.parts.pausing.isPaused) return this.parts.delivery.isAhead;
    return this.#pace.restMs === 0 && this.#isBatchFull() && this.#isGathered();
  }

  #rest(): void {
    this.#state = "resting";
    this.#beginIn(this.#pace.restMs);
  }

  #beginWhenGathered(): void {
    if (this.#isGathered()) this.#begin();
    else this.#gather();
  }

  /**
   * It is true unless flushes of full batches follow one another so closely that the next one is
   * better begun a little later, with more rows.
   */
  #isGathered(): boolean {
    const { size, max, intervalMs } = this.options;
    // A batch that was not full is no load, and one of the largest size leaves a backlog.
    if (this.#lastRows < size || this.#lastRows >= max) return true;
    if (this.parts.delivery.unsettled >= Math.min(ENOUGH_ROWS, max)) return true;
    const sinceMs = this.parts.clock.monotonicMs() - this.#begunMs;
    const gatherMs = this.parts.isAwaited() ? AWAITED_GATHER_MS : GATHER_MS;
    return sinceMs >= Math.min(gatherMs, intervalMs);
  }

  /**
   * Waits until the batch is large enough. Where nothing more comes, all clients may be waiting for
   * this very flush.
   */
  #gather(): void {
    const { delivery, clock, isAwaited } = this.parts;
    const { unsettled } = delivery;
    this.#state = "gathering";
    this.#cancelTimer = clock.setTimeout(() => {
      this.#cancelTimer = undefined;
      const nothingComes = delivery.unsettled === unsettled;
      if ((nothingComes && isAwaited()) || this.#isGathered()) this.#begin();
      else this.#gather();
    }, GATHER_STEP_MS);
  }

  async #flush(): Promise<FlushOutcome> {
    const { delivery, clock, pausing } = this.parts;
    this.#begunMs = clock.monotonicMs();
    try {
      const settlement = await delivery.step(this.#pace.restMs === 0 && !pausing.isPaused);
      this.#lastRows = settlement?.entries.length ?? 0;
      const { unsettled } = delivery;
      this.#pace.flushed({ begunMs: this.#begunMs, rows: this.#lastRows, unsettled });
      if (this.parts.isAwaited()) this.#pace.hurry();
      if (settlement !== undefined) this.#outage.succeeded({ waiting: unsettled + this.#lastRows });
      this.#backoff.reset();
      // Entries that wait but are not durable yet announce themselves by notify.
      return settlement === undefined ? "empty" : "stored";
    } catch (error) {
      this.#lastRows = 0;
      this.#tellFailure(error);
      return "failed";
    }
  }

  #tellFailure(error: unknown): void {
    const { delivery: { rowsInHand, unsettled }, log } = this.parts;
    // Others tell that the store is away: with nothing in hand that keeps nothing from it.
    if (rowsInHand === 0 && error instanceof StoreError) {
      log.debug("The store was not asked for its marks; it is asked again", { error });
    } else this.#outage.failed(error, { waiting: unsettled });
  }

  #backOff(): void {
    this.#state = "backing off";
    this.#beginIn(this.#backoff.nextMs());
  }

  #beginIn(delayMs: number): void {
    this.#cancelTimer = this.parts.clock.setTimeout(() => {
      this.#cancelTimer = undefined;
      this.#begin();
    }, delayMs);
  }
}
