/**
 * Keeps spans that have come to their end until they are exported, a bounded number of them: what
 * finds no room is dropped and counted, and nobody ever waits for it.
 */
import { endsWithin } from "../deadline.ts";
import { reasonOf } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** It carries spans away; `done` is called once, with what went wrong if anything did. */
export interface Exporter<Span> {
  export(spans: Span[], done: (error: Error | undefined) => void): void;
  close(): Promise<void>;
}

interface SpanQueueParts<Span> {
  readonly exporter: Exporter<Span>;
  readonly clock: Pick<Clock, "setTimeout">;
  readonly metrics: Pick<Metrics, "spans">;
  readonly log: Pick<Log, "warn" | "info">;
}

/** So many spans wait at most, of about a kilobyte each. */
export const SPANS_MAX = 2_048;
const BATCH_SPANS = 512;
/** A span waits so long for others to go with it. */
const EXPORT_MS = 1_000;
/** At a stop the last spans have so long, and no time at all where the receiver is away. */
const STOP_LIMIT_MS = 500;

export class SpanQueue<Span> {
  #waiting: Span[] = [];
  #underWay: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #isAway = false;
  #isStopped = false;

  constructor(private readonly parts: SpanQueueParts<Span>) {}

  get isFull(): boolean {
    return this.#waiting.length >= SPANS_MAX;
  }

  add(span: Span): void {
    if (this.isFull || this.#isStopped) return this.drop(1);
    this.#waiting.push(span);
    if (this.#waiting.length >= BATCH_SPANS) this.#export();
    else this.#cancelTimer ??= this.parts.clock.setTimeout(() => this.#export(), EXPORT_MS);
  }

  /** Counts spans that were not even made, or found no room. */
  drop(spans: number): void {
    this.parts.metrics.spans.inc({ outcome: "dropped" }, spans);
  }

  /** Exports what is left, within a bounded time, and no more from then on. */
  async stop(): Promise<void> {
    const { exporter, clock } = this.parts;
    this.#isStopped = true;
    if (!this.#isAway) await endsWithin(this.#exportAll(), STOP_LIMIT_MS, clock);
    this.#cancelTimer?.();
    this.drop(this.#waiting.splice(0).length);
    // What it still has under way ends with the process.
    exporter.close().catch(() => {});
  }

  async #exportAll(): Promise<void> {
    while (this.#waiting.length > 0 || this.#underWay !== undefined) {
      this.#export();
      await this.#underWay;
      if (this.#isAway) return;
    }
  }

  #export(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#underWay !== undefined || this.#waiting.length === 0) return;
    const batch = this.#waiting.splice(0, BATCH_SPANS);
    this.#underWay = this.#send(batch).finally(() => {
      this.#underWay = undefined;
      if (this.#waiting.length >= BATCH_SPANS) this.#export();
      else if (this.#waiting.length > 0 && !this.#isStopped) {
        this.#cancelTimer ??= this.parts.clock.setTimeout(() => this.#export(), EXPORT_MS);
      }
    });
  }

  async #send(batch: Span[]): Promise<void> {
    const { exporter, metrics } = this.parts;
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    try {
      exporter.export(batch, resolve);
    } catch (error) {
      resolve(new Error(reasonOf(error)));
    }
    const error = await promise;
    metrics.spans.inc({ outcome: error === undefined ? "exported" : "failed" }, batch.length);
    this.#tell(error);
  }

  #tell(error: Error | undefined): void {
    const { log } = this.parts;
    if (error !== undefined && !this.#isAway) {
      log.warn("Spans cannot be exported: they are dropped until they can be", {
        event: "spans-dropped",
        error,
      });
    } else if (error === undefined && this.#isAway) {
      log.info("Spans are exported again", { event: "spans-exported" });
    }
    this.#isAway = error !== undefined;
  }
}
