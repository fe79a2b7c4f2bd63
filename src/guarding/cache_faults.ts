/** Counts the faults of the cache, and logs them. */
import type { Clock } from "../ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** Returns what is told of each fault. */
export function cacheFaults(
  metrics: Pick<Metrics, "cacheErrors">,
  log: Pick<Log, "warn">,
  clock: Pick<Clock, "monotonicMs">,
): (error: unknown) => void {
  const logFault = limitRate(clock, FAULT_LOG_INTERVAL_MS, (suppressed, error) => {
    log.warn("The cache failed; taken for a miss", { error, suppressed });
  });
  return (error) => {
    metrics.cacheErrors.inc();
    logFault(error);
  };
}
