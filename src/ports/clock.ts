/** Time, replaceable so that tests decide how it passes. */
export interface Clock {
  /** Unix milliseconds; set forward and back by whoever keeps the machine's time. */
  now(): number;
  /** Milliseconds since some moment, never set: for how long something takes or lasts. */
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
