import type { Clock } from "../ports/clock.ts";

/** Resolves after `ms`, or as soon as `signal` is aborted. */
export function pauseUntil(
  clock: Pick<Clock, "setTimeout">,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
