/** Counts the faults of the cache, and logs them. */
import type { Clock } from "../ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { type Breaker, CLOSED } from "./breaker.ts";

/** Returns what is told of each fault. */
export function cacheFaults(
  metrics: Pick<Metrics, "cacheErrors">,
  log: Pick<Log, "warn">,
  clock: Pick<Clock, "monotonicMs">,
  breaker: Pick<Breaker, "state">,
): (error: unknown) => void {
  const logFault = limitRate(clock, FAULT_LOG_INTERVAL_MS, (heldBack, error) => {
    log.warn("The cache failed; taken for a miss", { event: "cache-failed", error, heldBack });
  });
  return (error) => {
    metrics.cacheErrors.inc();
    // That it fails all the time is told when its breaker opens.
    if (breaker.state === CLOSED) logFault(error);
  };
}
