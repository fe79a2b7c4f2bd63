/**
 * A database server: rows, marks and dead letters, each call one transaction that happens at one
 * moment or not at all.
 */
import { compareVersions, type Entry } from "../../src/domain.ts";
import { StoreRefusesError, StoreWentBackError } from "../../src/errors.ts";
import type { PutResult, Store } from "../../src/ports/store.ts";
import type { Identity, StoreIdentity } from "../../src/ports/store_identity.ts";
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
  /** The table takes no row at all. */
  refusesAll = false;
  readonly #marks = new Map<string, number>();
  #generation = 0;
  readonly #latest = new Map<string, Entry>();

  /** @param onRow told of each row at the moment of its commit */
  constructor(world: World, private readonly onRow: (row: StoredRow) => void) {
    super(world, "store", 4, 6_000);
  }

  client(process: Process): Store & StoreIdentity {
    return {
      open: (source) => this.call(process, "open", () => this.#open(source)),
      put: (source, entries, confirmedSeq) =>
        this.call(process, `put ${entries.length}`, () => this.#put(source, entries, confirmedSeq)),
      marks: (sources) => this.call(process, "marks", () => this.#marksOf(sources)),
      latest: (userId) => this.call(process, "latest", () => this.#latest.get(userId)),
      identify: () => this.call(process, "identify", () => this.identity),
      outdateCopies: () => this.call(process, "outdate copies", () => this.#outdateCopies()),
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

  get identity(): Identity {
    return { id: "simulated", cacheGeneration: String(this.#generation) };
  }

  #outdateCopies(): Identity {
    this.world.fault("copies outdated");
    this.#generation++;
    return this.identity;
  }

  #open(source: string): number {
    this.moveMark(source, 0);
    return this.#marks.get(source)!;
  }

  #marksOf(sources: readonly string[]): ReadonlyMap<string, number> {
    return new Map([...this.#marks].filter(([source]) => sources.includes(source)));
  }

  #put(source: string, entries: readonly Entry[], confirmedSeq: number): PutResult {
    this.#mayConflict();
    const fresh = this.#fresh(source, entries, confirmedSeq);
    if (this.refusesAll && fresh.length > 0) {
      this.world.fault("every row refused");
      throw new StoreRefusesError("42501", "permission denied for table user_data");
    }
    const isRefused = ({ value }: Entry) => value.startsWith(REFUSED);
    for (const entry of fresh) {
      if (isRefused(entry)) {
        this.world.fault("row refused");
        this.onRow({ entry, table: "dead_letters" });
      } else this.#insert(entry);
    }
    this.moveMark(source, entries.at(-1)!.seq);
    const dead = entries.filter(isRefused).map(({ seq }) => ({
      seq,
      code: "23514",
      message: "refused",
    }));
    return { rows: fresh.filter((entry) => !isRefused(entry)).length, dead };
  }

  #fresh(source: string, entries: readonly Entry[], confirmedSeq: number): Entry[] {
    const mark = this.#marks.get(source);
    if (mark === undefined) throw new Error(`The mark of ${source} is gone`);
    if (mark < confirmedSeq) throw new StoreWentBackError(`${mark} is below ${confirmedSeq}`);
    return entries.filter(({ seq }) => seq > mark);
  }

  #insert(entry: Entry): void {
    const latest = this.#latest.get(entry.userId);
    if (latest === undefined || compareVersions(entry, latest) > 0) {
      this.#latest.set(entry.userId, entry);
    }
    this.onRow({ entry, table: "user_data" });
  }

  #mayConflict(): void {
    if (!this.world.random.chance(this.conflicts)) return;
    this.world.fault("deadlock");
    throw Object.assign(new Error("deadlock detected"), { code: "40P01" });
  }
}
