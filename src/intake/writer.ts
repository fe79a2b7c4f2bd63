/** Takes a write through the journal to the acknowledgement level that was asked for. */
import { type AckLevel, type Entry, type Write, writeId } from "../domain.ts";
import { AppError } from "../errors.ts";
import type { Intake } from "../ports/intake.ts";
import type { LastKnown } from "../reading/last_known.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Acknowledgements } from "./acknowledgements.ts";
import { type Pending, PENDING_USERS_MAX } from "./pending.ts";

export interface WriteResult {
  readonly entry: Entry;
  /**
   * It is the level really reached: `durable` when `flushed` was asked for but did not come in
   * time.
   */
  readonly ack: AckLevel;
}

interface WriterParts {
  readonly intake: Pick<Intake, "push">;
  readonly pending: Pending;
  readonly acknowledgements: Acknowledgements;
  readonly lastKnown: Pick<LastKnown, "accepted">;
  readonly metrics: Pick<Metrics, "writes">;
  readonly log: Pick<Log, "error">;
}

/** A `flushed` write waits for so long before it is answered as `durable`. */
const FLUSHED_TIMEOUT_MS = 10_000;
export class Writer {
  /** So many writes are pushed, and neither durable nor withdrawn. */
  #underWay = 0;

  readonly #counts: Readonly<Record<AckLevel, { inc(): void }>>;

  constructor(
    private readonly parts: WriterParts,
    private readonly maxPendingUsers = PENDING_USERS_MAX,
  ) {
    const { writes } = parts.metrics;
    this.#counts = {
      accepted: writes.series({ ack: "accepted" }),
      durable: writes.series({ ack: "durable" }),
      flushed: writes.series({ ack: "flushed" }),
    };
  }

  /**
   * Accepts a write, and resolves when its level is reached.
   * @throws AppError `queue-full`, `journal-failed`, `shutting-down`: the write was not accepted
   */
  async write(write: Write, ack: AckLevel): Promise<WriteResult> {
    this.#refuseAtLimit(write.userId);
    const { intake, acknowledgements } = this.parts;
    const receipt = intake.push(write);
    const { entry } = receipt;
    this.#underWay++;
    let reached = ack;
    // Nobody waits for it to be durable; a loss is reported with its whole group.
    if (ack === "accepted") this.#readableAtOnce(entry);
    else if (ack === "durable") await receipt.durable;
    else {
      const outcome = acknowledgements.wait(entry, FLUSHED_TIMEOUT_MS);
      await receipt.durable;
      if (await outcome !== "stored") reached = "durable";
    }
    this.#counts[reached].inc();
    return { entry, ack: reached };
  }

  /** Is told of durable entries, as the journal's listener is. */
  durable(entries: readonly Entry[]): void {
    this.#underWay -= entries.length;
  }

  /**
   * Is told of withdrawn entries. Those that were acknowledged before they were durable are lost.
   */
  withdrawn(entries: readonly Entry[]): void {
    this.#underWay -= entries.length;
    const { pending, log } = this.parts;
    const lost = entries.filter((entry) => pending.withdraw(entry));
    if (lost.length === 0) return;
    log.error(
      "Writes acknowledged as 'accepted' (memory only) could not be made durable and are lost",
      { writes: lost.length, firstWriteId: writeId(lost[0]!), lastWriteId: writeId(lost.at(-1)!) },
    );
  }

  #readableAtOnce(entry: Entry): void {
    const { pending, lastKnown } = this.parts;
    pending.addVolatile(entry);
    lastKnown.accepted(entry.userId);
  }

  #refuseAtLimit(userId: string): void {
    const { pending } = this.parts;
    if (pending.users + this.#underWay < this.maxPendingUsers || pending.has(userId)) return;
    throw new AppError(
      "queue-full",
      "Too many users have writes that wait for the database. Retry later.",
    );
  }
}
