/** Takes a write through the journal to the acknowledgement level that was asked for. */
import { type AckLevel, type Entry, type Write, writeId } from "../domain.ts";
import { AppError } from "../errors.ts";
import type { Intake, Receipt } from "../ports/intake.ts";
import type { LastKnown } from "../reading/last_known.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { NO_TRACING, type Tracing } from "../telemetry/tracing.ts";
import type { Acknowledgements, Outcome } from "./acknowledgements.ts";
import { CommitTraces } from "./commit_traces.ts";
import { type Pending, PENDING_USERS_MAX } from "./pending.ts";

export interface WriteResult {
  readonly entry: Entry;
  /**
   * It is the level really reached: a lesser one when `flushed` or `replicated` was asked for but
   * did not come in time.
   */
  readonly ack: AckLevel;
}

/** These levels are not the journal's, and are reached in their own time. */
type AwaitedLevel = Extract<AckLevel, "replicated" | "flushed">;

interface WriterParts {
  readonly intake: Pick<Intake, "push">;
  readonly pending: Pending;
  /** They keep those who wait for the store, and for the broker. */
  readonly acknowledgements: Readonly<Record<AwaitedLevel, Acknowledgements>>;
  readonly lastKnown: Pick<LastKnown, "accepted">;
  readonly metrics: Pick<Metrics, "writes">;
  readonly log: Pick<Log, "error">;
  readonly tracing?: Pick<Tracing, "commit">;
}

/** A write waits for so long before it is answered with the level that it has reached. */
const TIMEOUTS_MS: Readonly<Record<AwaitedLevel, number>> = { replicated: 5_000, flushed: 10_000 };

const IN_STORE: ReadonlySet<Outcome> = new Set(["stored", "dead", "settled"]);

export class Writer {
  /** So many writes are pushed, and neither durable nor withdrawn. */
  #underWay = 0;

  readonly #commits: CommitTraces;
  readonly #counts: Readonly<Record<AckLevel, { inc(): void }>>;

  constructor(
    private readonly parts: WriterParts,
    private readonly maxPendingUsers = PENDING_USERS_MAX,
  ) {
    const { metrics: { writes }, tracing = NO_TRACING } = parts;
    this.#commits = new CommitTraces(tracing);
    this.#counts = {
      accepted: writes.series({ ack: "accepted" }),
      durable: writes.series({ ack: "durable" }),
      replicated: writes.series({ ack: "replicated" }),
      flushed: writes.series({ ack: "flushed" }),
    };
  }

  /**
   * Accepts a write, and resolves when its level is reached.
   * @throws AppError `queue-full`, `journal-failed`, `shutting-down`: the write was not accepted
   */
  async write(write: Write, ack: AckLevel): Promise<WriteResult> {
    this.#refuseAtLimit(write.userId);
    const receipt = this.parts.intake.push(write);
    const { entry } = receipt;
    this.#underWay++;
    if (write.trace !== undefined) this.#commits.accepted(entry);
    let reached = ack;
    // Nobody waits for it to be durable; a loss is reported with its whole group.
    if (ack === "accepted") this.#readableAtOnce(entry);
    else if (ack === "durable") await receipt.durable;
    else reached = await this.#reached(ack, receipt);
    this.#counts[reached].inc();
    return { entry, ack: reached };
  }

  async #reached(wanted: AwaitedLevel, receipt: Receipt): Promise<AckLevel> {
    const { acknowledgements } = this.parts;
    const waiting = acknowledgements[wanted].wait(
      receipt.entry,
      TIMEOUTS_MS[wanted],
    );
    await receipt.durable;
    const outcome = await waiting;
    if (wanted === "flushed" && outcome === "stored") return "flushed";
    // What the store has, even as a dead letter, is no less safe than at the broker.
    const isSafe = wanted === "replicated" && IN_STORE.has(outcome);
    return isSafe || acknowledgements.replicated.isReplicated(receipt.entry)
      ? "replicated"
      : "durable";
  }

  /** Is told of durable entries, as the journal's listener is. */
  durable(entries: readonly Entry[]): void {
    this.#underWay -= entries.length;
    this.#commits.durable(entries);
  }

  /**
   * Is told of withdrawn entries. Those that were acknowledged before they were durable are lost.
   */
  withdrawn(entries: readonly Entry[]): void {
    this.#underWay -= entries.length;
    this.#commits.withdrawn(entries);
    const { pending, log } = this.parts;
    const lost = entries.filter((entry) => pending.withdraw(entry));
    if (lost.length === 0) return;
    log.error(
      "Writes acknowledged as 'accepted' (memory only) could not be made durable and are lost",
      {
        event: "writes-lost",
        writes: lost.length,
        firstWriteId: writeId(lost[0]!),
        lastWriteId: writeId(lost.at(-1)!),
      },
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
