/**
 * Tells an operator of calls of the store that failed: a count of each, and a line now and then.
 */
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "../telemetry/log.ts";
import type { Clock } from "../ports/clock.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { StoreCall } from "./guarded_store.ts";

/** Who calls tells of these, with the rows that wait: a second line would say less. */
const TOLD_BY_CALLER: ReadonlySet<StoreCall> = new Set(["open", "put", "marks", "apply", "fold"]);

export class StoreFaults {
  /** Each call has a line of its own, so that many failures of one do not hide those of another. */
  readonly #lines = new Map<StoreCall, (error: unknown) => void>();

  constructor(
    private readonly metrics: Pick<Metrics, "storeErrors">,
    private readonly log: Pick<Log, "warn">,
    private readonly clock: Pick<Clock, "monotonicMs">,
  ) {}

  /** Has to be told of each call that was made and failed. */
  readonly note = (call: StoreCall, error: unknown, isOpen = false): void => {
    this.metrics.storeErrors.inc({ call });
    if (!TOLD_BY_CALLER.has(call) && !isOpen) this.#lineOf(call)(error);
  };

  #lineOf(call: StoreCall): (error: unknown) => void {
    const known = this.#lines.get(call);
    if (known !== undefined) return known;
    const line = limitRate(this.clock, FAULT_LOG_INTERVAL_MS, (heldBack, error) => {
      this.log.warn("A call of the store failed", {
        event: "store-call-failed",
        ...{ call, error, heldBack },
      });
    });
    this.#lines.set(call, line);
    return line;
  }
}
