/** Makes metrics and log lines of what the journal tells. */
import type { JournalObserver } from "./journal/journal.ts";
import type { Clock } from "./ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "./telemetry/log.ts";
import type { Metrics } from "./telemetry/metrics.ts";

export function journalObserver(
  metrics: Pick<Metrics, "fsyncDuration" | "journalDamage">,
  log: Pick<Log, "warn" | "error">,
  clock: Pick<Clock, "monotonicMs">,
): JournalObserver {
  return {
    onFsync: (durationMs) => metrics.fsyncDuration.observe(durationMs / 1000),
    onDamage: (damage) => {
      metrics.journalDamage.inc({ kind: damage.kind }, 1);
      log.error("The journal has a damaged stretch; what could be read around it is kept", {
        ...damage,
        event: "journal-damaged",
      });
    },
    onFault: limitRate(
      clock,
      FAULT_LOG_INTERVAL_MS,
      (heldBack, reason) => log.warn(String(reason), { event: "journal-fault", heldBack }),
    ),
    onFailed: (reason) =>
      log.error("No write is accepted any more", { event: "journal-failed", reason }),
  };
}
