import type { Entry } from "../domain.ts";
import type { Audit } from "./audit.ts";
import type { DeadLetterRetries } from "./dead_letter_retries.ts";
import type { DeadLetterSweeps } from "./dead_letter_sweeps.ts";
import type { DeadLetters, RefusedEntry } from "./dead_letters.ts";
import type { GroupStore } from "./group_store.ts";
import type { Lease } from "./lease.ts";
import type { Retention } from "./retention.ts";
import type { StoreIdentity } from "./store_identity.ts";
import type { Term, Terms } from "./terms.ts";

/**
 * An adapter of a database offers these, each port by itself. Closing the store closes them all.
 */
export interface StorePorts {
  readonly store: Store;
  readonly identity: StoreIdentity;
  readonly deadLetters: DeadLetters;
  readonly sweeps: DeadLetterSweeps;
  /** A database of one process alone has none: nobody else brings anything there. */
  readonly groups?: GroupStore;
  /** A database of one process alone has none: nobody else could lead. */
  readonly terms?: Terms;
  /** It is for who has nothing better to keep a lease. A database of one process has none. */
  readonly lease?: Lease;
  readonly retention?: Retention;
  readonly audit?: Audit;
  readonly retries?: DeadLetterRetries;
  /**
   * Returns what brings entries to the store only as long as this term lasts: each transaction
   * throws a TermOverError, and writes nothing, once another one has begun. It is there where terms
   * are.
   */
  readonly within?: (term: Term) => WithinTerm;
}

export type WithinTerm = Pick<Store, "open" | "put"> & Pick<GroupStore, "apply" | "fold">;

/**
 * The store is the system of record. Every call may be retried safely; each rejects (never hangs)
 * when the store is away. What a store has to say is a StoreError (src/errors.ts):
 * StoreUnavailableError for whatever may pass, StoreRefusesError for whatever does not. Any other
 * error is a defect.
 */
export interface Store {
  /**
   * Makes sure the schema and the source's mark exist, and returns the mark: the highest sequence
   * number of `source` that the store has; 0 for a new source. It has to be called before the first
   * `put` of a source.
   */
  open(source: string): Promise<number>;
  /**
   * Inserts the entries and moves the source's mark to the last one's `seq`, in one transaction.
   * Entries at or below the mark are left out, so a repeat after a lost answer writes nothing
   * twice. A row that is refused while others go through is kept among the dead letters, in that
   * same transaction.
   * @param confirmedSeq the mark that the caller has been told of, or found, before
   * @param onSent is called when the store has something to work on, where its answer takes long
   * @param lostThroughSeq through this number what is missing was stored once: it is not noted as
   *   withdrawn
   * @throws StoreRefusesError when every row is refused alike, as the table then is at fault;
   *   StoreWentBackError when the mark is below `confirmedSeq`; nothing is written then
   */
  put(
    source: string,
    entries: readonly Entry[],
    confirmedSeq: number,
    onSent?: () => void,
    lostThroughSeq?: number,
  ): Promise<PutResult>;
  /**
   * Returns the marks of these sources; one that has none is left out. It makes no mark, but makes
   * the schema where it is missing, as {@link open} does: whoever asks is about to write.
   */
  marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /**
   * Returns the newest entry of a user by {@link compareVersions}; undefined when there is none.
   */
  latest(userId: string): Promise<Entry | undefined>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface PutResult {
  /** This call inserted so many rows. */
  readonly rows: number;
  /**
   * These of the entries are dead letters, by this call or by an earlier one whose answer was lost.
   */
  readonly dead: readonly RefusedEntry[];
}
