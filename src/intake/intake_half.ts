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
import type { Tracing } from "../telemetry/tracing.ts";
import { Acknowledgements } from "./acknowledgements.ts";
import { Pending, PENDING_USERS_MAX } from "./pending.ts";
import { Writer, type WriteResult } from "./writer.ts";

interface IntakeHalfParts {
  readonly lastKnown: Pick<LastKnown, "wrote" | "accepted" | "withdrew">;
  readonly clock: Pick<Clock, "setTimeout">;
  readonly metrics: Pick<Metrics, "writes">;
  readonly log: Pick<Log, "error">;
  readonly tracing?: Pick<Tracing, "commit">;
  /** It is told of each group that is on disk, once it is readable here. */
  readonly onDurable: (entries: readonly Entry[]) => void;
  /**
   * Values of pending entries take at most so many bytes in memory; the others are read from the
   * journal.
   */
  readonly pendingBytes?: number;
  /** Users with pending entries; default {@link PENDING_USERS_MAX}. */
  readonly maxPendingUsers?: number;
}

export class IntakeHalf implements IntakeListener {
  readonly pending: Pending;
  /** They keep those who wait for the store, and for the broker. */
  readonly #acknowledgements: Readonly<Record<"flushed" | "replicated", Acknowledgements>>;
  #journal: Intake | undefined;
  #writer: Writer | undefined;
  #isStarted = false;
  /** Entries were passed over since there was a place last. */
  #isFull = false;

  constructor(private readonly parts: IntakeHalfParts) {
    this.pending = new Pending((run, seq) => this.#opened.read(run, seq), parts.pendingBytes);
    this.#acknowledgements = {
      flushed: new Acknowledgements(parts.clock),
      replicated: new Acknowledgements(parts.clock),
    };
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
    for (const waiting of this.#eachLevel) waiting.start();
  }

  /** It is true while somebody waits until the store has their write. */
  get isFlushAwaited(): boolean {
    return this.#acknowledgements.flushed.isAwaited;
  }

  /** Accepts no more; who waits for the store or the broker is answered. */
  stop(): void {
    this.refuse();
    this.waitNoLonger();
  }

  /** Accepts no more until the next {@link start}; whoever waits goes on waiting. */
  refuse(): void {
    this.#isStarted = false;
  }

  /** @throws as {@link Writer.write}; AppError `shutting-down` while stopped */
  write(write: Write, ack: AckLevel): Promise<WriteResult> {
    if (this.#isStarted && this.#writer !== undefined) return this.#writer.write(write, ack);
    return Promise.reject(
      new AppError(
        "shutting-down",
        "This instance takes no writes: it is shutting down, or was drained. Retry later.",
      ),
    );
  }

  /**
   * Lets nobody wait for the store or the broker any longer, as nothing will reach them; writes are
   * still accepted.
   */
  waitNoLonger(): void {
    for (const waiting of this.#eachLevel) waiting.stop();
  }

  durable(entries: readonly Entry[]): void {
    this.#writer?.durable(entries);
    for (const entry of entries) {
      this.pending.addDurable(entry);
      this.parts.lastKnown.wrote(entry);
    }
    this.parts.onDurable(entries);
  }

  withdrawn(entries: readonly Entry[]): void {
    this.#writer?.withdrawn(entries);
    for (const entry of entries) this.parts.lastKnown.withdrew(entry);
    for (const waiting of this.#eachLevel) waiting.withdraw(entries);
  }

  /**
   * What a database lacks that went back can be of far more users than ever wait otherwise. Of those
   * for whom there is no place reads find what the store has, until the other half has brought it
   * there again.
   */
  unsettled(entry: Entry): void {
    const { maxPendingUsers = PENDING_USERS_MAX, log } = this.parts;
    if (this.pending.users < maxPendingUsers || this.pending.has(entry.userId)) {
      this.#isFull = false;
      this.pending.addFromJournal(entry);
      return this.parts.lastKnown.wrote(entry);
    }
    if (this.#isFull) return;
    this.#isFull = true;
    log.error(
      "More users than can be kept in mind have writes that wait for the database: until it has " +
        "them, reads of the others find what it has",
      { event: "writes-unread", users: maxPendingUsers },
    );
  }

  /** Is told by the other half that the store has these, and the cache knows. */
  settled(settlement: Batch & Delivered): void {
    this.pending.settle(settlement.entries, settlement.lastSeq);
    for (const waiting of this.#eachLevel) waiting.settle(this.#opened.run, settlement);
    if (settlement.stored.length < settlement.entries.length) this.#forgetRefused(settlement);
  }

  /**
   * Is told that the broker has confirmed all numbers of this run through this one. It may be called
   * as often as it likes.
   */
  replicated(throughSeq: number): void {
    this.#acknowledgements.replicated.replicated(throughSeq);
  }

  get #eachLevel(): readonly Acknowledgements[] {
    const { replicated, flushed } = this.#acknowledgements;
    return [replicated, flushed];
  }

  /** While they were pending here they were read: they must not be what was found last. */
  #forgetRefused({ entries, stored }: Batch & Delivered): void {
    const rows = new Set(stored.map(({ seq }) => seq));
    for (const entry of entries) if (!rows.has(entry.seq)) this.parts.lastKnown.withdrew(entry);
  }

  get #opened(): Intake {
    if (this.#journal === undefined) throw new Error("The journal is not open yet");
    return this.#journal;
  }
}
