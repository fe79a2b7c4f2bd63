/**
 * A database server: rows, marks and dead letters, each call one transaction that happens at one
 * moment or not at all.
 */
import type { Entry } from "../../src/domain.ts";
import {
  reasonOf,
  StoreError,
  StoreRefusesError,
  StoreUnavailableError,
  TermOverError,
} from "../../src/errors.ts";
import type { Term } from "../../src/ports/terms.ts";
import type { Applied, EntryGroup } from "../../src/ports/group_store.ts";
import type { PutResult, StorePorts } from "../../src/ports/store.ts";
import type { Identity } from "../../src/ports/store_identity.ts";
import { type AppliedIntervals, MemoryGroups } from "../support/memory_groups.ts";
import { MemoryStore, type Snapshot } from "../support/memory_store.ts";
import { SimulatedServer } from "./network.ts";
import type { Process, World } from "./world.ts";

/** Values that a constraint refuses begin so. */
export const REFUSED = "refused ";
/** What PostgreSQL calls it. */
const CHECK_VIOLATION = "23514";
const INSUFFICIENT_PRIVILEGE = "42501";
const DEADLOCK_DETECTED = "40P01";

export function groupName({ source, first, last }: EntryGroup): string {
  return `${source} ${first} to ${last}`;
}

export interface StoredRow {
  readonly entry: Entry;
  readonly table: "user_data" | "dead_letters";
}

/** What a backup of the server has. */
interface Backup {
  readonly tables: Snapshot;
  readonly intervals: AppliedIntervals;
}

export class SimulatedStore extends SimulatedServer {
  /** Deadlocks and serialization failures, of each transaction that writes. */
  conflicts = 0;
  /** It went back last then; -Infinity: never. */
  wentBackMs = -Infinity;
  /** What the server holds, for whoever looks into it without a network in between. */
  readonly tables: MemoryStore;
  readonly groups: MemoryGroups;
  /** It is called just before rows of these users come. */
  beforePut: (userIds: readonly string[]) => void = () => {};
  #term: Term = { number: 0, leader: "" };

  /** @param onRow told of each row at the moment of its commit */
  constructor(world: World, onRow: (row: StoredRow) => void) {
    super(world, "store", 4, 6_000);
    this.tables = new MemoryStore({
      now: () => world.nowMs,
      onRow: (entry, table) => {
        if (table === "dead_letters") world.fault("row refused");
        onRow({ entry, table });
      },
    });
    this.groups = new MemoryGroups(this.tables);
    this.tables.refuses = ({ value }) =>
      value.startsWith(REFUSED) ? { code: CHECK_VIOLATION, message: "refused" } : undefined;
  }

  client(process: Process): StorePorts {
    const { tables } = this;
    let closed = false;
    const call = async <T>(what: string, work: () => T): Promise<T> => {
      if (closed) throw new StoreUnavailableError("The simulated store is closed");
      try {
        return await this.call(process, what, work);
      } catch (error) {
        if (error instanceof StoreError) throw error;
        throw new StoreUnavailableError(reasonOf(error), undefined, { cause: error });
      }
    };
    return {
      store: {
        open: (source) => call("open", () => tables.open(source)),
        put: (source, entries, confirmedSeq, onSent = () => {}) => {
          const { random } = this.world;
          if (random.chance(0.8)) this.world.after(random.between(0, 3), "sent", onSent);
          return call(`put ${entries.length}`, () => this.#put(source, entries, confirmedSeq));
        },
        marks: (sources) => call("marks", () => tables.marks(sources)),
        latest: (userId) => call("latest", () => tables.latest(userId)),
        ping: () => call("ping", () => {}),
        close: () => {
          closed = true;
          return Promise.resolve();
        },
      },
      identity: {
        identify: () => call("identify", () => tables.identity),
        outdateCopies: () => call("outdate copies", () => this.#outdateCopies()),
      },
      deadLetters: {
        count: () => call("count", () => tables.count()),
        survey: (...what) => call("survey", () => tables.survey(...what)),
        list: (...what) => call("list", () => tables.list(...what)),
        reasons: () => call("reasons", () => tables.reasons()),
        find: (id) => call("find", () => tables.find(id)),
        replay: (id) => call("replay", () => tables.replay(id)),
        discard: (id) => call("discard", () => tables.discard(id)),
      },
      sweeps: {
        replaySome: (...what) => call("replay some", () => tables.sweep("replay", ...what)),
        discardSome: (...what) => call("discard some", () => tables.sweep("discard", ...what)),
      },
      groups: {
        apply: (groups) => call(`apply ${groups.map(groupName)}`, () => this.#apply(groups)),
        fold: (source, never) =>
          call(`fold ${source}`, () => this.groups.foldAtOnce(source, never)),
        dead: (source, first, last) => call("dead", () => tables.deadAmong(source, first, last)),
      },
      terms: {
        begin: (leader) => call("begin a term", () => this.#beginTerm(leader)),
        confirm: (term) => call("confirm a term", () => this.#assertTerm(term)),
      },
      within: (term) => {
        const inTerm = <T>(what: string, work: () => T) =>
          call(`${what} in term ${term.number}`, () => {
            this.#assertTerm(term);
            return work();
          });
        return {
          open: (source) => inTerm("open", () => tables.open(source)),
          put: (source, entries, confirmedSeq) =>
            inTerm(`put ${entries.length}`, () => this.#put(source, entries, confirmedSeq)),
          apply: (groups) => inTerm(`apply ${groups.map(groupName)}`, () => this.#apply(groups)),
          fold: (source, never) =>
            inTerm(`fold ${source}`, () => this.groups.foldAtOnce(source, never)),
        };
      },
    };
  }

  #beginTerm(leader: string): Term {
    return this.#term = { number: this.#term.number + 1, leader };
  }

  #assertTerm({ number, leader }: Term): void {
    if (number === this.#term.number && leader === this.#term.leader) return;
    this.world.fault("term over");
    throw new TermOverError(`The term ${number} is over`);
  }

  latest(userId: string): Entry | undefined {
    return this.tables.latest(userId);
  }

  /** For a bug planted on purpose: the mark without the rows. */
  moveMark(source: string, seq: number): void {
    this.tables.moveMark(source, seq);
  }

  get identity(): Identity {
    return this.tables.identity;
  }

  /** The table takes no row at all, or takes them again. */
  set refusesAll(refuses: boolean) {
    const rejection = {
      code: INSUFFICIENT_PRIVILEGE,
      message: "permission denied for table user_data",
    };
    this.tables.refusesAll = refuses ? rejection : undefined;
  }

  get refusesAll(): boolean {
    return this.tables.refusesAll !== undefined;
  }

  snapshot(): Backup {
    return { tables: this.tables.snapshot(), intervals: this.groups.snapshot() };
  }

  /**
   * The database goes back: a backup is restored, or a replica takes over that was behind.
   * @param onVanished told of each row that was there and is not any more
   */
  restore({ tables, intervals }: Backup, onVanished: (row: StoredRow) => void): void {
    this.world.fault("store went back");
    this.wentBackMs = this.world.nowMs;
    this.groups.restore(intervals);
    this.tables.restore(tables, (entry, table) => onVanished({ entry, table }));
  }

  #outdateCopies(): Identity {
    this.world.fault("copies outdated");
    return this.tables.outdateCopies();
  }

  #put(source: string, entries: readonly Entry[], confirmedSeq: number): PutResult {
    return this.#write(entries, () => this.tables.put(source, entries, confirmedSeq));
  }

  #apply(groups: readonly EntryGroup[]): Applied {
    const entries = groups.flatMap(({ entries }) => entries);
    return this.#write(entries, () => this.groups.applyAtOnce(groups));
  }

  /** What brings these: one transaction. */
  #write<T>(entries: readonly Entry[], transaction: () => T): T {
    this.#mayConflict();
    try {
      if (entries.length > 0) this.beforePut(entries.map(({ userId }) => userId));
      return transaction();
    } catch (error) {
      if (error instanceof StoreRefusesError) this.world.fault("every row refused");
      throw error;
    }
  }

  #mayConflict(): void {
    if (!this.world.random.chance(this.conflicts)) return;
    this.world.fault("deadlock");
    throw new StoreUnavailableError("deadlock detected", DEADLOCK_DETECTED);
  }
}
