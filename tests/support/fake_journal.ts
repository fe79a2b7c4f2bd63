/** The journal in memory, both of its ports: for tests of either half that decide what it does. */
import type { Entry, Write } from "../../src/domain.ts";
import { AppError } from "../../src/errors.ts";
import type {
  Intake,
  IntakeListener,
  IntakeStatus,
  Receipt,
  Stage,
} from "../../src/ports/intake.ts";
import type { Batch, Rewound, Source } from "../../src/ports/source.ts";

export const RUN = "run000000001";

interface Held {
  readonly entries: Entry[];
  readonly resolve: () => void;
  readonly reject: (error: AppError) => void;
}

/**
 * Entries are durable at once, unless they are held back by {@link hold}. What was settled stays
 * until {@link forget}, so that it can be sent again.
 */
export class FakeJournal implements Intake, Source {
  readonly run = RUN;
  /** May be set late: intake is often made after its journal. */
  listener: Partial<IntakeListener>;
  /** Every durable entry that is still here, in order, of all sources; a run is its source. */
  readonly entries: Entry[] = [];
  /** What each source is settled through. */
  readonly settledThrough = new Map<string, number>();
  /** The next takes and settlements reject with it, until it is undefined again. */
  failWith: Error | undefined;
  /** Pushes are refused with it, until it is undefined again. */
  refuseWith: AppError | undefined;
  failure: string | undefined;
  lackOfRoom: string | undefined;
  #position = 0;
  #accepted = 0;
  #held: Held | undefined;
  #heldBack = false;
  #closed = false;
  readonly #withdrawn = new Set<number>();
  readonly #lastGone = new Map<string, number>();

  constructor(listener: Partial<IntakeListener> = {}) {
    this.listener = listener;
  }

  push(write: Write): Receipt {
    this.#refuseClosed();
    if (this.refuseWith !== undefined) throw this.refuseWith;
    const seq = ++this.#accepted;
    const entry: Entry = { ...write, acceptedMs: seq, run: this.run, seq };
    if (!this.#heldBack) {
      this.#becomeDurable([entry]);
      return { entry, durable: Promise.resolve() };
    }
    return { entry, durable: this.#holdBack(entry) };
  }

  /** What is pushed from here on is not durable before {@link release}. */
  hold(): void {
    this.#heldBack = true;
  }

  /** What was held back is durable now, as one group, and so is what comes later. */
  release(): void {
    const held = this.#held;
    this.#heldBack = false;
    this.#held = undefined;
    if (held === undefined) return;
    this.#becomeDurable(held.entries);
    held.resolve();
  }

  /** What was held back never becomes durable. */
  withdraw(error = new AppError("journal-failed", "The disk failed.")): void {
    const held = this.#held;
    this.#held = undefined;
    if (held === undefined) return;
    for (const { seq } of held.entries) this.#withdrawn.add(seq);
    this.listener.withdrawn?.(held.entries);
    held.reject(error);
  }

  /** Durable entries that an earlier run left, told as a start tells them. */
  add(...entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.entries.push(entry);
      if (entry.run === this.run) this.#accepted = Math.max(this.#accepted, entry.seq);
      this.listener.unsettled?.(entry);
    }
  }

  /** Nothing that is settled can be sent again any more. */
  forget(): void {
    for (const { run, seq } of this.entries) {
      if (this.#isSettled(run, seq)) this.#lastGone.set(run, seq);
    }
    const kept = this.entries.filter(({ run, seq }) => !this.#isSettled(run, seq));
    this.#position -= this.entries.length - kept.length;
    this.entries.splice(0, this.entries.length, ...kept);
  }

  read(run: string, seq: number): Promise<Entry | undefined> {
    const found = this.entries.find((entry) => entry.run === run && entry.seq === seq);
    return Promise.resolve(this.#isSettled(run, seq) ? undefined : found);
  }

  stageOf(run: string, seq: number): Stage {
    if (run === this.run) {
      if (seq > this.#accepted || seq < 1) return "unknown";
      if (this.#withdrawn.has(seq)) return "withdrawn";
    }
    if (this.#isSettled(run, seq)) return "settled";
    if (this.entries.some((entry) => entry.run === run && entry.seq === seq)) return "durable";
    return run === this.run ? "accepted" : "unknown";
  }

  status(): IntakeStatus {
    const unsettled = this.entries.filter(({ run, seq }) => !this.#isSettled(run, seq));
    const held = this.#held?.entries ?? [];
    return {
      instance: "instance0001",
      depth: this.unsettled,
      oldestAcceptedMs: (unsettled[0] ?? held[0])?.acceptedMs,
      bytes: 0,
      retainedBytes: 0,
      accepted: this.#accepted,
      durable: this.entries.findLast(({ run }) => run === this.run)?.seq ?? 0,
      settled: this.settledThrough.get(this.run) ?? 0,
      failure: this.failure,
      lackOfRoom: this.lackOfRoom,
    };
  }

  get unsettled(): number {
    const durable = this.entries.filter(({ run, seq }) => !this.#isSettled(run, seq)).length;
    return durable + (this.#held?.entries.length ?? 0);
  }

  open(): Promise<ReadonlyMap<string, number>> {
    this.#begin();
    const sources = new Set(this.entries.map(({ run }) => run));
    return Promise.resolve(
      new Map([...sources].map((source) => [source, this.settledThrough.get(source) ?? 0])),
    );
  }

  take(maxRows: number): Promise<Batch | undefined> {
    if (this.failWith !== undefined) return Promise.reject(this.failWith);
    const source = this.entries[this.#position]?.run;
    if (source === undefined) return Promise.resolve(undefined);
    const entries: Entry[] = [];
    while (entries.length < maxRows && this.entries[this.#position]?.run === source) {
      entries.push(this.entries[this.#position++]!);
    }
    return Promise.resolve({ source, entries, lastSeq: entries.at(-1)!.seq });
  }

  settle(batch: Batch): Promise<void> {
    if (this.failWith !== undefined) return Promise.reject(this.failWith);
    const before = this.settledThrough.get(batch.source) ?? 0;
    this.settledThrough.set(batch.source, Math.max(before, batch.lastSeq));
    return Promise.resolve();
  }

  rewind(source: string, seq: number): Promise<Rewound> {
    const before = this.settledThrough.get(source) ?? 0;
    if (seq >= before) return Promise.resolve({ entries: 0, missingThrough: undefined });
    this.settledThrough.set(source, seq);
    const again = this.entries.filter((entry) =>
      entry.run === source && entry.seq > seq && entry.seq <= before
    );
    for (const entry of again) this.listener.unsettled?.(entry);
    this.#begin();
    const gone = this.#lastGone.get(source) ?? 0;
    return Promise.resolve({
      entries: again.length,
      missingThrough: gone > seq ? gone : undefined,
    });
  }

  close(): Promise<void> {
    this.release();
    this.#closed = true;
    return Promise.resolve();
  }

  #begin(): void {
    const first = this.entries.findIndex(({ run, seq }) => !this.#isSettled(run, seq));
    this.#position = first < 0 ? this.entries.length : first;
  }

  #becomeDurable(entries: readonly Entry[]): void {
    this.entries.push(...entries);
    this.listener.durable?.(entries);
  }

  #holdBack(entry: Entry): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Who does not wait for durability need not handle its failure.
    promise.catch(() => {});
    const before = this.#held;
    this.#held = {
      entries: [...before?.entries ?? [], entry],
      resolve: () => {
        before?.resolve();
        resolve();
      },
      reject: (error) => {
        before?.reject(error);
        reject(error);
      },
    };
    return promise;
  }

  #isSettled(run: string, seq: number): boolean {
    return seq <= (this.settledThrough.get(run) ?? 0);
  }

  #refuseClosed(): void {
    if (this.#closed) throw new AppError("shutting-down", "The service is shutting down.");
  }
}
