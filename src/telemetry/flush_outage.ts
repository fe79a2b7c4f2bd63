/** Tells when flushes fail, by what kind of failure it is, and when they go through again. */
import { StoreError, StoreRefusesError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log, LogFields } from "./log.ts";
import { OutageLog } from "./outage_log.ts";

type Kind = "store-away" | "store-refuses" | "flush-failed";

interface FlushOutageParts {
  readonly log: Pick<Log, "info" | "warn" | "error">;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** It says what becomes of the rows meanwhile. */
  readonly meanwhile: string;
}

export class FlushOutage {
  readonly #outage: OutageLog;

  constructor({ log, clock, meanwhile }: FlushOutageParts) {
    this.#outage = new OutageLog({
      clock,
      onBegin: (kind, error, fields) => {
        const told = { event: kind as Kind, ...fields, error };
        if (kind === "store-away") log.warn(`The store is away: ${meanwhile}`, told);
        else if (kind === "flush-failed") log.warn(`A flush failed; ${meanwhile}`, told);
        else {
          log.error(
            `The store answers, and refuses; ${meanwhile}. Somebody has to change what it names`,
            told,
          );
        }
      },
      onEnd: (fields) =>
        log.info("The store takes writes again", { event: "store-back", ...fields }),
    });
  }

  /** Is told of each flush that failed. */
  failed(error: unknown, fields: LogFields): void {
    this.#outage.failed(kindOf(error), error, fields);
  }

  /** Is told of each flush that went through. */
  succeeded(fields: LogFields): void {
    this.#outage.succeeded(fields);
  }
}

function kindOf(error: unknown): Kind {
  if (error instanceof StoreRefusesError) return "store-refuses";
  return error instanceof StoreError ? "store-away" : "flush-failed";
}
