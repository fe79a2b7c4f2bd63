/** Tells of requests that failed on a defect of ours, by route, however many there are. */
import { systemClock } from "../ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log, type TraceIds } from "../telemetry/log.ts";

interface Defect {
  readonly error: unknown;
  readonly trace: TraceIds | undefined;
}

export class Defects {
  readonly #lines = new Map<string, (defect: unknown) => void>();

  constructor(private readonly log: Pick<Log, "of">) {}

  /**
   * @param route is one of the table, or one name for all that are none
   * @param trace names the span of the request, if it is sampled
   */
  note(route: string, error: unknown, trace?: TraceIds): void {
    let line = this.#lines.get(route);
    if (line === undefined) {
      line = limitRate(systemClock, FAULT_LOG_INTERVAL_MS, (heldBack, defect) => {
        const { error, trace } = defect as Defect;
        this.log.of(trace).error("A request failed on a defect", {
          event: "request-failed",
          ...{ route, error, heldBack },
        });
      });
      this.#lines.set(route, line);
    }
    line({ error, trace } satisfies Defect);
  }
}
