import type { Entry, Write } from "../domain.ts";

/**
 * Where accepted writes become durable: what the half that answers requests asks of the journal.
 * Bringing them on from there is the other half's, by {@link Source}.
 */
export interface Intake {
  /** Names this start of this instance; it is the first part of every write id given out now. */
  readonly run: string;
  /**
   * Accepts a write and gives it its version at once; `durable` settles later.
   * @throws AppError `queue-full` at the byte cap or on a full disk, `journal-failed` when nothing
   *   can be made durable any more, `shutting-down` once closed, `body-too-large` for more than a
   *   record can hold.
   */
  push(write: Write): Receipt;
  /** One unsettled, durable entry by its run and number; undefined once it may be gone. */
  read(run: string, seq: number): Promise<Entry | undefined>;
  /** What became of a number, for as long as it is known here. Costs no look at the disk. */
  stageOf(run: string, seq: number): Stage;
  /** How it stands with the whole; to be called by scrapes and probes, not for each write. */
  status(): IntakeStatus;
  /** Makes everything pushed durable, then releases files and locks. */
  close(): Promise<void>;
}

export interface Receipt {
  readonly entry: Entry;
  /**
   * Resolves when the entry would survive a power loss; rejects with AppError `journal-failed` or
   * `queue-full` when it never will.
   */
  readonly durable: Promise<void>;
}

/**
 * `accepted`: in memory only; `durable`: in the journal, and not settled; `settled`: the store has
 * it, as a row or a dead letter; `withdrawn`: it was given out and never comes to the store, as it
 * never became durable, or was damaged on disk since; `unknown`: of a run that nothing here
 * remembers, or a number that was not given out yet.
 */
export type Stage = "accepted" | "durable" | "settled" | "withdrawn" | "unknown";

/** Told to the half that answers requests, synchronously and in order. */
export interface IntakeListener {
  /** A commit group is on disk. Called before the receipts resolve. */
  durable(entries: readonly Entry[]): void;
  /** A commit group will never be on disk. Called before the receipts reject. */
  withdrawn(entries: readonly Entry[]): void;
  /**
   * An entry that the store may not have: found by a start, or settled once and to be sent again,
   * because the store went back.
   */
  unsettled(entry: Entry): void;
}

export interface IntakeStatus {
  /** Stable over all runs of this data directory. */
  readonly instance: string;
  /** Entries accepted and not settled, durable or not. */
  readonly depth: number;
  /** When the oldest of them was accepted, Unix milliseconds; undefined when there are none. */
  readonly oldestAcceptedMs: number | undefined;
  /** Bytes held on disk, or queued for it, those of kept entries that are settled among them. */
  readonly bytes: number;
  /** Of these, what is kept only to be sent again should the store go back. */
  readonly retainedBytes: number;
  /** The last number of this run at each stage; 0 before the first. */
  readonly accepted: number;
  readonly durable: number;
  readonly settled: number;
  /** Why nothing can be accepted any more; undefined while all is well. */
  readonly failure: string | undefined;
  /** Why writes were just refused for want of room; undefined when none was for a while. */
  readonly lackOfRoom: string | undefined;
}
