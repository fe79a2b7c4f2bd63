/** A database server: rows, marks and dead letters, each call one transaction that happens at one moment or not at all. */
import { compareVersions, type Entry } from "../../src/domain.ts";
import { RejectedRowError } from "../../src/errors.ts";
import type { Rejection, Store } from "../../src/ports.ts";
import { SimulatedServer } from "./network.ts";
import type { Process, World } from "./world.ts";

/** Values that a constraint refuses begin so. */
export const REFUSED = "refused ";

export interface StoredRow {
  readonly entry: Entry;
  readonly table: "user_data" | "dead_letters";
}

export class SimulatedStore extends SimulatedServer {
  /** Deadlocks and serialization failures, of each transaction that writes. */
  conflicts = 0;
  readonly #marks = new Map<string, number>();
  readonly #latest = new Map<string, Entry>();

  /** @param onRow told of each row at the moment of its commit */
  constructor(world: World, private readonly onRow: (row: StoredRow) => void) {
    super(world, "store", 4, 6_000);
  }

  client(process: Process): Store {
    return {
      open: (source) => this.call(process, "open", () => this.#open(source)),
      put: (source, entries) => this.call(process, `put ${entries.length}`, () => this.#put(source, entries)),
      bury: (source, entry, reason) => this.call(process, "bury", () => this.#bury(source, entry, reason)),
      latest: (userId) => this.call(process, "latest", () => this.#latest.get(userId)),
      ping: () => this.call(process, "ping", () => {}),
      close: () => Promise.resolve(),
    };
  }

  latest(userId: string): Entry | undefined {
    return this.#latest.get(userId);
  }

  /** For a bug planted on purpose: the mark without the rows. */
  moveMark(source: string, seq: number): void {
    this.#marks.set(source, Math.max(seq, this.#marks.get(source) ?? 0));
  }

  #open(source: string): number {
    this.moveMark(source, 0);
    return this.#marks.get(source)!;
  }

  #put(source: string, entries: readonly Entry[]): number {
    this.#mayConflict();
    const fresh = this.#fresh(source, entries);
    if (fresh.some(({ value }) => value.startsWith(REFUSED))) {
      this.world.fault("row refused");
      throw new RejectedRowError("23514", "a constraint refuses the row");
    }
    for (const entry of fresh) this.#insert(entry);
    this.moveMark(source, entries.at(-1)!.seq);
    return fresh.length;
  }

  #bury(source: string, entry: Entry, _reason: Rejection): void {
    this.#mayConflict();
    for (const dead of this.#fresh(source, [entry])) this.onRow({ entry: dead, table: "dead_letters" });
    this.moveMark(source, entry.seq);
  }

  #fresh(source: string, entries: readonly Entry[]): Entry[] {
    const mark = this.#marks.get(source);
    if (mark === undefined) throw new Error(`The mark of ${source} is gone`);
    return entries.filter(({ seq }) => seq > mark);
  }

  #insert(entry: Entry): void {
    const latest = this.#latest.get(entry.userId);
    if (latest === undefined || compareVersions(entry, latest) > 0) this.#latest.set(entry.userId, entry);
    this.onRow({ entry, table: "user_data" });
  }

  #mayConflict(): void {
    if (!this.world.random.chance(this.conflicts)) return;
    this.world.fault("deadlock");
    throw Object.assign(new Error("deadlock detected"), { code: "40P01" });
  }
}
