/**
 * Is the half that brings durable entries where they belong: to the cache as they come, to the sink
 * by the batcher. A new one may begin at any time, where the last one left off.
 */
import type { CacheClient } from "../reading/cache_client.ts";
import type { Entry } from "../domain.ts";
import type { Clock } from "../ports/clock.ts";
import type { Sink } from "../ports/sink.ts";
import type { Source } from "../ports/source.ts";
import type { PauseSwitch } from "../pause_switch.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { Batcher, type BatcherOptions, type BatcherState, type DrainOutcome } from "./batcher.ts";
import { CacheFeed } from "./cache_feed.ts";
import { Delivery, type Settlement } from "./delivery.ts";

interface DeliveryHalfParts {
  readonly source: Source;
  readonly sink: Sink;
  readonly cache: CacheClient;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly pausing: PauseSwitch;
  readonly tracing?: Pick<Tracing, "flushOf">;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
  readonly onSettled: (settlement: Settlement) => void;
  /** It is true while somebody waits until what they wrote is in the sink. */
  readonly isAwaited: () => boolean;
}

export class DeliveryHalf {
  readonly #feed: CacheFeed;
  readonly #delivery: Delivery;
  readonly #batcher: Batcher;

  constructor(options: BatcherOptions, private readonly parts: DeliveryHalfParts) {
    this.#feed = new CacheFeed(parts.cache, parts.clock);
    this.#delivery = new Delivery(options.max, { ...parts, feed: this.#feed });
    this.#batcher = new Batcher(options, { ...parts, delivery: this.#delivery });
  }

  /**
   * It says why the sink takes nothing at all, though it answers; it is undefined while it does.
   */
  get refusal(): string | undefined {
    return this.#delivery.refusal;
  }

  get state(): BatcherState {
    return this.#batcher.state;
  }

  start(): void {
    this.#batcher.start();
  }

  /** Is told that these are on disk now. */
  durable(entries: readonly Entry[]): void {
    // Here an entry is pending until its flush: nobody would look at its copy.
    if (this.parts.cache.isShared) this.#feed.offer(entries);
    this.#batcher.notify();
  }

  /** Does as {@link Batcher.flushNow} says. */
  flushNow(): void {
    this.#batcher.flushNow();
  }

  /** Does as {@link Batcher.drain} says; afterwards nothing is flushed but by a further drain. */
  drain(signal: AbortSignal): Promise<DrainOutcome> {
    return this.#batcher.drain(signal);
  }

  /**
   * Resolves when nothing is under way; what is brought there before is settled. Who cannot wait
   * calls {@link giveUp}.
   */
  async stop(): Promise<void> {
    this.#delivery.end();
    await this.#batcher.stop();
    await this.#delivery.finish();
    await this.#feed.stop();
  }

  /** Lets whatever is still under way settle nothing, as another half may be at work by then. */
  giveUp(): void {
    this.#delivery.giveUp();
    // The next half has a feed of its own, and tells only that one what the store has refused.
    void this.#feed.stop();
  }
}
