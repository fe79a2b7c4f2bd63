/** Ports in memory, for tests that inject faults or hold time still. */
import type { Entry } from "../../src/domain.ts";
import { compareVersions } from "../../src/domain.ts";
import { StoreUnavailableError } from "../../src/errors.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import type { PutResult, Store } from "../../src/ports/store.ts";
import { MemoryStore } from "./memory_store.ts";

export const INSTANCE = "instance0001";

export function entry(seq: number, fields: Partial<Entry> = {}): Entry {
  return {
    userId: `user${seq}`,
    value: `value${seq}`,
    ts: 1_000,
    acceptedMs: seq,
    run: INSTANCE,
    seq,
    ...fields,
  };
}

/**
 * A store in memory; `failWith` makes every call reject but ping and close. Its rows may be changed
 * as another program would.
 */
export class FakeStore implements Store {
  readonly tables = new MemoryStore();
  readonly batches: number[] = [];
  failWith: Error | undefined;
  /** Applies the next put and then loses its answer, like a connection cut after COMMIT. */
  loseNextAnswer = false;
  /** Refused as a constraint of the database would. */
  readonly refused = new Set<number>();
  lookUps = 0;
  #closed = false;

  constructor() {
    this.tables.refuses = ({ seq }) =>
      this.refused.has(seq) ? { code: "23514", message: "violates a constraint" } : undefined;
  }

  get rows(): Entry[] {
    return this.tables.rows;
  }
  get dead(): readonly Entry[] {
    return this.tables.dead;
  }
  get markOf(): Map<string, number> {
    return this.tables.markOf;
  }

  async open(source: string): Promise<number> {
    await this.#failIfDown();
    return this.tables.open(source);
  }

  async put(...[source, entries, confirmedSeq]: Parameters<Store["put"]>): Promise<PutResult> {
    await this.#failIfDown();
    const result = this.tables.put(source, entries, confirmedSeq);
    this.batches.push(entries.length);
    if (this.loseNextAnswer) {
      this.loseNextAnswer = false;
      throw new StoreUnavailableError("connection reset after COMMIT");
    }
    return result;
  }

  async marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    await this.#failIfDown();
    return this.tables.marks(sources);
  }

  async latest(userId: string): Promise<Entry | undefined> {
    this.lookUps++;
    await this.#failIfDown();
    return this.rows.filter((row) => row.userId === userId).sort(compareVersions).at(-1);
  }

  async ping(): Promise<void> {
    if (this.#closed) await this.#failIfDown();
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #failIfDown(): Promise<void> {
    const error = this.#closed ? new StoreUnavailableError("The store is closed") : this.failWith;
    return error === undefined ? Promise.resolve() : Promise.reject(error);
  }
}

/** Counts, and has nothing to show by itself. */
export function idleMetrics(): Metrics {
  return new Metrics({
    queueDepth: () => 0,
    queueOldestAgeSeconds: () => 0,
    journalBytes: () => 0,
    journalRetainedBytes: () => 0,
    journalMaxBytes: () => undefined,
    journalHasFailed: () => false,
    isReady: () => true,
    isBrokerUp: () => undefined,
    leads: () => false,
    deadLetters: () => Promise.resolve(0),
    breakers: {},
    kinds: {},
  }, 0);
}
