/** Is the adoption of one journal, from its first batch to its last, over as many steps as it takes. */
import { LeftAloneError, type LeftDirectory } from "./left_directory.ts";
import type { LeftJournal } from "../journal/left_journal.ts";
import type { GroupSource } from "../ports/group_source.ts";
import type { StorePorts } from "../ports/store.ts";
import type { Term } from "../ports/terms.ts";
import { Bringing, type BringingParts } from "./bringing.ts";
import { GroupBatches } from "./group_batches.ts";

interface UnderWayParts
  extends Pick<BringingParts, "cache" | "clock" | "metrics" | "log" | "tracing"> {
  readonly store: Pick<StorePorts, "store"> & Required<Pick<StorePorts, "within">>;
  readonly directory: LeftDirectory;
  readonly instance: string;
  readonly journal: LeftJournal;
  readonly trace: string;
  readonly term: Term;
  readonly forwarded: ReadonlySet<string>;
  /** An adoption before this one had brought each source through there, and told the caches. */
  readonly brought: ReadonlyMap<string, number>;
}

export interface Brought {
  /** The directory had this trace when it was read. */
  readonly trace: string;
  /** The store has each source through there, and the caches were told. */
  readonly marks: ReadonlyMap<string, number>;
  /** There is nothing more that may be brought. */
  readonly isAll: boolean;
}

export class AdoptionUnderWay {
  readonly #bringing: Bringing;
  readonly #groups: GroupSource;
  readonly #batches: GroupBatches;
  readonly #marks: Map<string, number>;
  #isAll = false;
  #rows = 0;

  constructor(maxRows: number, private readonly parts: UnderWayParts) {
    const { store, term, journal, forwarded, metrics, brought } = parts;
    this.#marks = new Map(brought);
    this.#bringing = new Bringing(maxRows, {
      ...parts,
      store: store.store,
      within: store.within(term),
      isForwarded: (source) => forwarded.has(source),
      onRows: (rows) => {
        this.#rows += rows;
        metrics.adoptedWrites.inc(rows);
      },
    });
    this.#groups = journal.groups();
    this.#batches = new GroupBatches(this.#groups);
  }

  isWithin({ number, leader }: Term): boolean {
    return number === this.parts.term.number && leader === this.parts.term.leader;
  }

  /** Its owner was not at work since it was read. */
  async isCurrent(): Promise<boolean> {
    return await this.parts.directory.trace() === this.parts.trace;
  }

  /** @throws LeftAloneError where nothing of the journal may be brought to the store */
  async begin(): Promise<void> {
    const { journal } = this.parts;
    if (journal.refusal !== undefined) {
      throw new LeftAloneError(
        `In its journal ${journal.refusal}: start its instance, or put back what is missing`,
      );
    }
    const marks = await this.#bringing.begin(journal);
    const markOf = (source: string) => marks.get(source) ?? 0;
    for (const source of journal.sources) {
      const brought = this.#marks.get(source) ?? 0;
      this.#marks.set(source, Math.min(brought, markOf(source)));
    }
    this.#groups.restart(this.#marks);
    this.#log("An instance is gone: its journal is adopted", { waiting: journal.unsettled });
  }

  /**
   * Brings the next batch to the store.
   * @returns false where there is none
   */
  async step(maxRows: number): Promise<boolean> {
    const batch = await this.#batches.take(maxRows);
    if (batch === undefined) return false;
    const mark = await this.#bringing.bring(batch, this.parts.journal);
    this.#marks.set(batch.source, Math.max(mark, this.#marks.get(batch.source) ?? 0));
    return true;
  }

  /** Is told that there is no further batch, and tells people. */
  finish(): void {
    this.#isAll = true;
    const { journal: { end }, log } = this.parts;
    if (end === undefined) return this.#log("The journal is adopted: the store has its writes");
    log.warn("The journal is adopted in part: the rest is left to its instance", {
      ...this.#fields(),
      reason: end,
      event: "adoption-failed",
    });
  }

  get brought(): Brought {
    return { trace: this.parts.trace, marks: this.#marks, isAll: this.#isAll };
  }

  tellReturned(): void {
    this.#log("The instance is back, and goes on with its journal itself");
  }

  close(): Promise<void> {
    return this.parts.journal.close();
  }

  #log(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    // Another leader may have been told already of what it has brought there, or not.
    if (this.parts.journal.unsettled > 0) {
      this.parts.log.info(message, { ...this.#fields(), ...fields, event: "adoption" });
    }
  }

  #fields(): Readonly<Record<string, unknown>> {
    const { directory, instance } = this.parts;
    return { dataDir: directory.path, instance, writes: this.#rows };
  }
}
