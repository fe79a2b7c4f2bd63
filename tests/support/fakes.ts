/** Ports in memory, for tests that inject faults or hold time still. */
import type { Entry, Write } from "../../src/domain.ts";
import { compareVersions } from "../../src/domain.ts";
import { StoreWentBackError } from "../../src/errors.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";
import type { Receipt } from "../../src/ports/intake.ts";
import type { Queue, QueueStats } from "../../src/ports/queue.ts";
import type { Batch } from "../../src/ports/source.ts";
import type { PutResult, Store } from "../../src/ports/store.ts";

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

/** A queue whose entries are durable at once, unless held back. */
export class FakeQueue implements Queue {
  readonly entries: Entry[] = [];
  source = `${INSTANCE}/run1`;
  ackedSeq = 0;
  #taken = 0;
  #seq = 0;

  push(write: Write): Receipt {
    const added = entry(++this.#seq, write);
    this.entries.push(added);
    return { entry: added, durable: Promise.resolve() };
  }
  add(...entries: Entry[]): void {
    for (const added of entries) {
      this.entries.push(added);
      this.#seq = added.seq;
    }
  }
  take(maxRows: number): Promise<Batch | undefined> {
    const entries = this.entries.slice(this.#taken, this.#taken + maxRows);
    this.#taken += entries.length;
    const last = entries.at(-1);
    return Promise.resolve(last && { source: this.source, entries, lastSeq: last.seq });
  }
  ack(batch: Batch): Promise<void> {
    this.ackedSeq = batch.lastSeq;
    return Promise.resolve();
  }
  read(seq: number): Promise<Entry | undefined> {
    return Promise.resolve(this.entries.find((candidate) => candidate.seq === seq));
  }
  stats(): QueueStats {
    const unacked = this.entries.filter(({ seq }) => seq > this.ackedSeq);
    return {
      instance: INSTANCE,
      depth: unacked.length,
      oldestAcceptedMs: unacked[0]?.acceptedMs,
      bytes: 0,
      lastSeq: this.#seq,
      ackedSeq: this.ackedSeq,
      failure: undefined,
      lackOfRoom: undefined,
    };
  }
  readonly cacheWasCurrent = true;
  settledBefore: Queue["settledBefore"];
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A store in memory, exact about marks; `failWith` makes every call reject. */
export class FakeStore implements Store {
  readonly rows: Entry[] = [];
  readonly markOf = new Map<string, number>();
  readonly batches: number[] = [];
  failWith: Error | undefined;
  /** Applies the next put and then loses its answer, like a connection cut after COMMIT. */
  loseNextAnswer = false;
  /** Refused as a constraint of the database would. */
  readonly refused = new Set<number>();
  readonly dead: Entry[] = [];
  lookUps = 0;

  async open(source: string): Promise<number> {
    await this.#failIfDown();
    this.markOf.set(source, this.markOf.get(source) ?? 0);
    return this.markOf.get(source)!;
  }

  async put(source: string, entries: readonly Entry[], confirmedSeq: number): Promise<PutResult> {
    await this.#failIfDown();
    const mark = this.markOf.get(source);
    if (mark === undefined) throw new Error(`put before open of ${source}`);
    if (mark < confirmedSeq) throw new StoreWentBackError(`${mark} is below ${confirmedSeq}`);
    const fresh = entries.filter(({ seq }) => seq > mark);
    this.rows.push(...fresh.filter(({ seq }) => !this.refused.has(seq)));
    this.dead.push(...fresh.filter(({ seq }) => this.refused.has(seq)));
    this.batches.push(entries.length);
    this.markOf.set(source, Math.max(mark, entries.at(-1)!.seq));
    if (this.loseNextAnswer) {
      this.loseNextAnswer = false;
      throw new Error("connection reset after COMMIT");
    }
    const refused = entries.filter(({ seq }) => this.refused.has(seq));
    return {
      rows: fresh.filter(({ seq }) => !this.refused.has(seq)).length,
      dead: refused.map(({ seq }) => ({ seq, code: "23514", message: "violates a constraint" })),
    };
  }

  async marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    await this.#failIfDown();
    return new Map([...this.markOf].filter(([source]) => sources.includes(source)));
  }

  async latest(userId: string): Promise<Entry | undefined> {
    this.lookUps++;
    await this.#failIfDown();
    return this.rows.filter((row) => row.userId === userId).sort(compareVersions).at(-1);
  }
  ping(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  #failIfDown(): Promise<void> {
    return this.failWith === undefined ? Promise.resolve() : Promise.reject(this.failWith);
  }
}

/** Counts, and has nothing to show by itself. */
export function idleMetrics(): Metrics {
  return new Metrics({
    queueDepth: () => 0,
    queueOldestAgeSeconds: () => 0,
    journalBytes: () => 0,
    deadLetters: () => Promise.resolve(0),
    breakers: {},
  }, 0);
}
