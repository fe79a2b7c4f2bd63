/** Tells of messages that can never be applied, and of groups that overlap, however many there are. */
import type { Clock } from "../ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, limitRate, type Log } from "../telemetry/log.ts";

/** Why a message is put among the dead letters of the broker. */
export type BuriedOutcome = "undecodable" | "overlapping" | "foreign";

export class MisplacedLog {
  /** Is told of each group that lies across what the store has. */
  readonly overlaps: (error: unknown) => void;
  /** Is told why each message is buried, by the outcome. */
  readonly buried: Readonly<Record<BuriedOutcome, (reason: unknown) => void>>;

  constructor(log: Pick<Log, "error">, clock: Pick<Clock, "monotonicMs">) {
    this.overlaps = limitRate(clock, FAULT_LOG_INTERVAL_MS, (heldBack, error) => {
      const told = { event: "groups-overlap", error, heldBack } as const;
      log.error("Groups of one source overlap in the store", told);
    });
    const buried = (outcome: BuriedOutcome) =>
      limitRate(clock, FAULT_LOG_INTERVAL_MS, (heldBack, reason) => {
        const told = { event: "message-buried", outcome, reason, heldBack } as const;
        log.error("A message is put among the broker's dead letters", told);
      });
    this.buried = {
      undecodable: buried("undecodable"),
      overlapping: buried("overlapping"),
      foreign: buried("foreign"),
    };
  }
}
