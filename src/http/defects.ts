/** Tells of requests that failed on a defect of ours, by route, however many there are. */
import { systemClock } from "../ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "../telemetry/log.ts";

export class Defects {
  readonly #lines = new Map<string, (error: unknown) => void>();

  constructor(private readonly log: Pick<Log, "error">) {}

  /** @param route is one of the table, or one name for all that are none */
  note(route: string, error: unknown): void {
    let line = this.#lines.get(route);
    if (line === undefined) {
      line = limitRate(systemClock, FAULT_LOG_INTERVAL_MS, (heldBack, error) => {
        this.log.error("A request failed on a defect", {
          event: "request-failed",
          ...{ route, error, heldBack },
        });
      });
      this.#lines.set(route, line);
    }
    line(error);
  }
}
