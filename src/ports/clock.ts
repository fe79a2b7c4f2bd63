/** Tells and spends time, and can be replaced, so that tests decide how it passes. */
export interface Clock {
  /**
   * Returns Unix milliseconds, which are set forward and back by whoever keeps the machine's time.
   */
  now(): number;
  /**
   * Returns milliseconds since some moment, which are never set: durations are measured by them.
   */
  monotonicMs(): number;
  setInterval(callback: () => void, intervalMs: number): () => void;
  setTimeout(callback: () => void, delayMs: number): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setInterval(callback, intervalMs) {
    const id = setInterval(callback, intervalMs);
    return () => clearInterval(id);
  },
  setTimeout(callback, delayMs) {
    const id = setTimeout(callback, delayMs);
    return () => clearTimeout(id);
  },
};
