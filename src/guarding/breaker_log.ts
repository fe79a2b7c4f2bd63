/** Tells when a breaker opens, and when it is closed again. */
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../telemetry/log.ts";
import { OutageLog } from "../telemetry/outage_log.ts";
import type { BreakerListener } from "./breaker.ts";

/** @param dependency is what metrics and lines call it */
export function tellBreaker(
  dependency: string,
  log: Pick<Log, "info" | "warn">,
  clock: Pick<Clock, "monotonicMs">,
): BreakerListener {
  const outage = new OutageLog({
    clock,
    onBegin: (_, error, fields) =>
      log.warn("A dependency fails: its calls are refused at once until it answers", {
        event: "breaker-open",
        dependency,
        ...fields,
        error,
      }),
    onEnd: ({ lastedMs }) =>
      log.info("A dependency answers again", { event: "breaker-closed", dependency, lastedMs }),
  });
  return {
    onOpen: (error) => outage.failed("open", error),
    onClosed: () => outage.succeeded(),
  };
}
