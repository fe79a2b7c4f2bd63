import type { Entry, Write } from "../domain.ts";

/**
 * Makes accepted writes durable: this is what the half that answers requests asks of the journal.
 * Bringing them on from there is the other half's, by {@link Source}.
 */
export interface Intake {
  /**
   * It names this start of this instance, and is the first part of every write id given out now.
   */
  readonly run: string;
  /**
   * Accepts a write and gives it its version at once; `durable` settles later, and may be put off
   * for some milliseconds while nobody has asked for it.
   * @throws AppError `queue-full` at the byte cap or on a full disk, `journal-failed` when nothing
   *   can be made durable any more, `shutting-down` once closed, `body-too-large` for more than a
   *   record can hold.
   */
  push(write: Write): Receipt;
  /** Returns one unsettled, durable entry by its run and number; undefined once it may be gone. */
  read(run: string, seq: number): Promise<Entry | undefined>;
  /**
   * Says what became of a number, for as long as it is known here. It costs no look at the disk.
   */
  stageOf(run: string, seq: number): Stage;
  /** Says how it stands with the whole. It is meant for scrapes and probes, not for each write. */
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
 * `accepted` is in memory only; `durable` is in the journal, and not settled; `settled` is in the
 * store, as a row or a dead letter; `withdrawn` was given out and never comes to the store, as it
 * never became durable, or was damaged on disk since; `unknown` is of a run that nothing here
 * remembers, or a number that was not given out yet.
 */
export type Stage = "accepted" | "durable" | "settled" | "withdrawn" | "unknown";

/** The journal tells these to the half that answers requests, synchronously and in order. */
export interface IntakeListener {
  /** Is told that a commit group is on disk, before the receipts resolve. */
  durable(entries: readonly Entry[]): void;
  /** Is told that a commit group will never be on disk, before the receipts reject. */
  withdrawn(entries: readonly Entry[]): void;
  /**
   * Is told of an entry that the store may not have: it was found by a start, or was settled once
   * and is to be sent again, because the store went back.
   */
  unsettled(entry: Entry): void;
}

export interface IntakeStatus {
  /** It stays the same over all runs of this data directory. */
  readonly instance: string;
  /** So many entries are accepted and not settled, durable or not. */
  readonly depth: number;
  /**
   * The oldest of them was accepted then, in Unix milliseconds; it is undefined when there are
   * none.
   */
  readonly oldestAcceptedMs: number | undefined;
  /**
   * So many bytes are on disk, or queued for it; those of settled entries that are kept are among
   * them.
   */
  readonly bytes: number;
  /** So many of these bytes are kept only to be sent again should the store go back. */
  readonly retainedBytes: number;
  /** This and the next two are the last numbers of this run at each stage; 0 before the first. */
  readonly accepted: number;
  readonly durable: number;
  readonly settled: number;
  /** It says why nothing can be accepted any more, and is undefined while all is well. */
  readonly failure: string | undefined;
  /**
   * It says why writes were just refused for want of room, and is undefined when none was for a
   * while.
   */
  readonly lackOfRoom: string | undefined;
}
