/**
 * Is the half that answers requests: what it accepts goes to the journal, and is readable from here
 * until the other half has told that the store has it. The journal may be open without this being
 * started: what the journal tells is kept all the same.
 */
import { AppError } from "../errors.ts";
import type { AckLevel, Entry, Write } from "../domain.ts";
import type { Clock } from "../ports/clock.ts";
import type { Intake, IntakeListener } from "../ports/intake.ts";
import type { Delivered } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";
import type { LastKnown } from "../reading/last_known.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { Pending } from "./pending.ts";
import { Writer, type WriteResult } from "./writer.ts";

interface IntakeHalfParts {
  readonly lastKnown: Pick<LastKnown, "wrote" | "accepted">;
  readonly clock: Pick<Clock, "setTimeout">;
  readonly metrics: Pick<Metrics, "writes">;
  readonly log: Pick<Log, "error">;
  /** It is told of each group that is on disk, once it is readable here. */
  readonly onDurable: (entries: readonly Entry[]) => void;
  /**
   * Values of pending entries take at most so many bytes in memory; the others are read from the
   * journal.
   */
  readonly pendingBytes?: number;
}

export class IntakeHalf implements IntakeListener {
  readonly pending: Pending;
  readonly #acknowledgements: Acknowledgements;
  #journal: Intake | undefined;
  #writer: Writer | undefined;
  #isStarted = false;

  constructor(private readonly parts: IntakeHalfParts) {
    this.pending = new Pending((run, seq) => this.#opened.read(run, seq), parts.pendingBytes);
    this.#acknowledgements = new Acknowledgements(parts.clock);
  }

  /** Connects this to the journal that tells this listener. It has to be called once. */
  attach(journal: Intake): void {
    this.#journal = journal;
    this.#writer = new Writer({
      ...this.parts,
      intake: journal,
      pending: this.pending,
      acknowledgements: this.#acknowledgements,
    });
  }

  start(): void {
    this.#isStarted = true;
    this.#acknowledgements.start();
  }

  /** Accepts no more; who waits for the store is answered. */
  stop(): void {
    this.#isStarted = false;
    this.#acknowledgements.stop();
  }

  /** @throws as {@link Writer.write}; AppError `shutting-down` while stopped */
  write(write: Write, ack: AckLevel): Promise<WriteResult> {
    if (this.#isStarted && this.#writer !== undefined) return this.#writer.write(write, ack);
    const refusal = new AppError("shutting-down", "The service is shutting down. Retry later.");
    return Promise.reject(refusal);
  }

  /** Lets nobody wait for a flush any longer, as there will be none; writes are still accepted. */
  waitNoLonger(): void {
    this.#acknowledgements.stop();
  }

  durable(entries: readonly Entry[]): void {
    this.#writer?.durable(entries);
    for (const entry of entries) this.#becameDurable(entry);
    this.parts.onDurable(entries);
  }

  withdrawn(entries: readonly Entry[]): void {
    this.#writer?.withdrawn(entries);
    this.#acknowledgements.withdraw(entries);
  }

  unsettled(entry: Entry): void {
    this.#becameDurable(entry);
  }

  /** Is told by the other half that the store has these, and the cache knows. */
  settled(settlement: Batch & Delivered): void {
    this.pending.settle(settlement.entries, settlement.lastSeq);
    this.#acknowledgements.settle(this.#opened.run, settlement);
  }

  #becameDurable(entry: Entry): void {
    this.pending.addDurable(entry);
    this.parts.lastKnown.wrote(entry);
  }

  get #opened(): Intake {
    if (this.#journal === undefined) throw new Error("The journal is not open yet");
    return this.#journal;
  }
}
