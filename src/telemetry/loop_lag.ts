/** Measures how late timers run, which is what a loop that is too busy does to everybody. */
import type { Clock } from "../ports/clock.ts";
import type { Metrics } from "./metrics.ts";

/** This is often enough for a scrape every few seconds. */
const SAMPLE_MS = 1_000;

export class LoopLag {
  #stop: (() => void) | undefined;

  constructor(
    private readonly clock: Pick<Clock, "monotonicMs" | "setInterval">,
    private readonly metrics: Pick<Metrics, "recordLoopLag">,
  ) {}

  start(): void {
    let dueMs = this.clock.monotonicMs() + SAMPLE_MS;
    this.#stop = this.clock.setInterval(() => {
      const nowMs = this.clock.monotonicMs();
      this.metrics.recordLoopLag(Math.max(0, nowMs - dueMs) / 1000);
      dueMs = nowMs + SAMPLE_MS;
    }, SAMPLE_MS);
  }

  stop(): void {
    this.#stop?.();
  }
}
