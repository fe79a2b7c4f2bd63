/** Makes metrics and log lines of what the journal tells. */
import type { JournalObserver } from "./journal/journal.ts";
import type { Clock } from "./ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

export function journalObserver(
  metrics: Pick<
    Metrics,
    "fsyncDuration" | "journalDamage" | "journalFailures" | "journalFaults"
  >,
  log: Pick<Log, "warn" | "error">,
  clock: Pick<Clock, "monotonicMs">,
): JournalObserver {
  const tellFault = limitRate(
    clock,
    FAULT_LOG_INTERVAL_MS,
    (heldBack, reason) => log.warn(String(reason), { event: "journal-fault", heldBack }),
  );
  return {
    onFsync: (durationMs) => metrics.fsyncDuration.observe(durationMs / 1000),
    onDamage: (damage) => {
      metrics.journalDamage.inc({ kind: damage.kind }, 1);
      log.error("The journal has a damaged stretch; what could be read around it is kept", {
        ...damage,
        event: "journal-damaged",
      });
    },
    onFault: (reason) => {
      metrics.journalFaults.inc();
      tellFault(reason);
    },
    onFailed: (reason) => {
      metrics.journalFailures.inc();
      log.error("No write is accepted any more", { event: "journal-failed", reason });
    },
  };
}
