/**
 * When the flush path runs: on a timer, or as soon as a batch is full. One step at a time, in
 * order; a failed one is tried again, later and later, until the store has what is in hand. What a
 * step does is delivery's.
 */
import { Delivery, type DeliveryParts } from "./delivery.ts";
import type { Clock } from "../ports/clock.ts";

export interface BatcherOptions {
  /** A flush starts as soon as this many rows wait … */
  readonly size: number;
  /** … and at least this often, in milliseconds. */
  readonly intervalMs: number;
  /** Rows in one flush at most, when there is a backlog. */
  readonly max: number;
}

export interface BatcherParts extends DeliveryParts {
  readonly clock: Clock;
  /** In [0, 1): spreads the retries of many instances. */
  readonly random: () => number;
}

interface FlushWaiter {
  readonly seq: number;
  readonly resolve: (flushed: boolean) => void;
}

const RETRY_BASE_MS = 100;
const RETRY_CAP_MS = 5_000;

export class Batcher {
  readonly #delivery: Delivery;
  #failures = 0;
  /** The last step failed, and what it holds is tried again later. */
  #inHand = false;
  #working: Promise<void> | undefined;
  #stopTicking: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;
  #stopped = false;
  readonly #waiters = new Set<FlushWaiter>();

  constructor(private readonly options: BatcherOptions, private readonly parts: BatcherParts) {
    this.#delivery = new Delivery(options.max, parts);
  }

  /** Why the store takes no row at all, though it answers; undefined while it does. */
  get refusal(): string | undefined {
    return this.#delivery.refusal;
  }

  start(): void {
    this.#stopTicking = this.parts.clock.setInterval(
      () => this.#flushAll(),
      this.options.intervalMs,
    );
    this.notify();
  }

  /** Something became durable: flush if a batch is full. */
  notify(): void {
    if (this.#stopTicking !== undefined && this.#backlogFillsABatch()) this.#flushAll();
  }

  /**
   * Resolves true once the store has entry `seq`; false when it refuses it, after `timeoutMs`, or
   * when the batcher stops.
   */
  whenFlushed(seq: number, timeoutMs: number): Promise<boolean> {
    if (this.parts.queue.stats().ackedSeq >= seq) return Promise.resolve(true);
    if (this.#stopped) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancelTimer = this.parts.clock.setTimeout(() => waiter.resolve(false), timeoutMs);
      const waiter: FlushWaiter = {
        seq,
        resolve: (flushed) => {
          cancelTimer();
          this.#waiters.delete(waiter);
          resolve(flushed);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  /**
   * Flushes all there is until `signal` fires. False when the store refused: what is left stays in
   * the queue.
   */
  async drain(signal: AbortSignal): Promise<boolean> {
    this.#stopTicking?.();
    this.#stopTicking = undefined;
    this.#cancelRetry?.();
    const timeIsUp = new Promise<"time is up">((resolve) => {
      signal.addEventListener("abort", () => resolve("time is up"), { once: true });
    });
    await Promise.race([this.#working, timeIsUp]);
    while (!signal.aborted && this.parts.queue.stats().depth > 0) {
      const flushed = await Promise.race([this.#flushOnce(), timeIsUp]);
      if (flushed === "time is up") return false;
      if (!flushed) return !this.#inHand;
    }
    return true;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopTicking?.();
    this.#stopTicking = undefined;
    this.#cancelRetry?.();
    await this.#working;
    for (const waiter of [...this.#waiters]) waiter.resolve(false);
  }

  #backlogFillsABatch(): boolean {
    return this.parts.queue.stats().depth >= this.options.size;
  }

  #flushAll(): void {
    if (this.#working !== undefined || this.#cancelRetry !== undefined || this.#stopped) return;
    this.#working = this.#flushWhileFull().finally(() => this.#working = undefined);
  }

  async #flushWhileFull(): Promise<void> {
    do {
      if (!(await this.#flushOnce())) return this.#retryLater();
    } while (this.#backlogFillsABatch() && this.#stopTicking !== undefined);
  }

  /**
   * One batch from hand or queue into the store. False when it failed and stays in hand, or when
   * there is none.
   */
  async #flushOnce(): Promise<boolean> {
    try {
      const settled = await this.#delivery.step();
      if (this.#failures > 0 && settled !== undefined) {
        this.parts.log.info("The store takes writes again", { failures: this.#failures });
      }
      this.#failures = 0;
      this.#inHand = false;
      // Entries that wait but are not durable yet announce themselves by notify.
      if (settled === undefined) return false;
      for (const waiter of [...this.#waiters]) {
        if (waiter.seq <= settled.lastSeq) waiter.resolve(!settled.dead.has(waiter.seq));
      }
      return true;
    } catch (error) {
      this.#failures++;
      this.#inHand = this.#delivery.rowsInHand > 0;
      this.parts.log.warn("A flush failed; its rows stay in the journal and are tried again", {
        rows: this.#delivery.rowsInHand,
        attempt: this.#failures,
        error,
      });
      return false;
    }
  }

  /**
   * Full jitter: anywhere between now and the exponential bound, so that many instances do not come
   * back in step.
   */
  #retryLater(): void {
    if (this.#stopped || this.#stopTicking === undefined || !this.#inHand) return;
    const boundMs = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(this.#failures, 20));
    const cancel = this.parts.clock.setTimeout(() => {
      this.#cancelRetry = undefined;
      this.#flushAll();
    }, this.parts.random() * boundMs);
    this.#cancelRetry = () => {
      cancel();
      this.#cancelRetry = undefined;
    };
  }
}
