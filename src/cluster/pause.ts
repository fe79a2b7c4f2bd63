import type { Clock } from "../ports/clock.ts";

/** Timers of the runtime go no further; whoever wakes up from one looks again. */
const LONGEST_MS = 2 ** 31 - 1;

/** Resolves after `forMs`, or as soon as the signal says that nobody has to wait any more. */
export function pause(
  forMs: number,
  clock: Pick<Clock, "setTimeout">,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.setTimeout(end, Math.min(forMs, LONGEST_MS));
    signal.addEventListener("abort", end);
  });
}
