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
  /**
   * Resolves when the event loop has served whoever waited for it: what takes long is done in
   * pieces, with this between them.
   */
  turn(): Promise<void>;
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
  turn: awayAndBack,
};

const NOTHING = new Uint8Array();

/**
 * Goes to a thread and back, some 0.05 to 0.15 ms: only while the runtime has nothing to do it looks
 * at what came in over the network. With an immediate it always has something, and looks there after
 * 61 of them; a timer takes more than a millisecond (measured: `docs/adr/0020`).
 */
async function awayAndBack(): Promise<void> {
  await crypto.subtle.digest("SHA-1", NOTHING);
}
