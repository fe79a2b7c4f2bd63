/** Tells when what is durable does not get to the broker, and when it does again. */
import { BrokerError, BrokerRefusesError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "./log.ts";
import { OutageLog } from "./outage_log.ts";

/** Of a broker that takes one message and not the next one hears once a minute. */
const TOLD_AGAIN_MS = 60_000;

const AWAY = "The broker does not take messages: they stay in the journal, and are sent later";
const UNREADABLE = "What is durable cannot be read to be sent to the broker";

export class BrokerOutage {
  readonly #outage: OutageLog;

  constructor(log: Pick<Log, "info" | "warn" | "error">, clock: Pick<Clock, "monotonicMs">) {
    this.#outage = new OutageLog({
      clock,
      againMs: TOLD_AGAIN_MS,
      onBegin: (kind, error, fields) => {
        if (kind === "unreadable") {
          log.error(UNREADABLE, { event: "journal-unreadable", ...fields, error });
        } else if (kind === "refuses") log.error(AWAY, { event: "broker-away", ...fields, error });
        else log.warn(AWAY, { event: "broker-away", ...fields, error });
      },
      onEnd: (fields) =>
        log.info("The broker takes messages again", { event: "broker-back", ...fields }),
    });
  }

  /** Is told of each message that failed. */
  failed(error: unknown): void {
    const kind = error instanceof BrokerRefusesError
      ? "refuses"
      : error instanceof BrokerError
      ? "away"
      : "unreadable";
    this.#outage.failed(kind, error);
  }

  /** Is told of each message that was confirmed. */
  succeeded(): void {
    this.#outage.succeeded();
  }
}
