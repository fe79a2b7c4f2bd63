/** A clock that stands still until a test moves it. */
import type { Clock } from "../../src/ports/clock.ts";

interface Timer {
  dueMs: number;
  readonly everyMs: number | undefined;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  readonly #timers = new Set<Timer>();
  #steppedMs = 0;

  constructor(private nowMs = Date.UTC(2026, 0, 1)) {}

  now(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs - this.#steppedMs;
  }
  setInterval(callback: () => void, intervalMs: number): () => void {
    return this.#add({ dueMs: this.nowMs + intervalMs, everyMs: intervalMs, callback });
  }
  setTimeout(callback: () => void, delayMs: number): () => void {
    return this.#add({ dueMs: this.nowMs + delayMs, everyMs: undefined, callback });
  }
  turn(): Promise<void> {
    return Promise.resolve();
  }
  get timers(): number {
    return this.#timers.size;
  }
  /** Steps the wall clock without running timers, as an administrator or NTP would. */
  step(byMs: number): void {
    this.nowMs += byMs;
    this.#steppedMs += byMs;
    for (const timer of this.#timers) timer.dueMs += byMs;
  }

  /** Runs what falls due, in order, letting promises settle after each. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.nowMs + byMs;
    for (;;) {
      const next = [...this.#timers].filter((timer) =>
        timer.dueMs <= untilMs
      ).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) {
        break;
      }
      this.nowMs = next.dueMs;
      if (next.everyMs === undefined) {
        this.#timers.delete(next);
      } else next.dueMs += next.everyMs;
      next.callback();
      await settle();
    }
    this.nowMs = untilMs;
    await settle();
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}

/** Lets every promise that can settle without outside help do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
