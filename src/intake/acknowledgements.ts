/** Keeps those who wait until their write has reached one place: the store, or the broker. */
import type { Entry, Version } from "../domain.ts";
import type { Clock } from "../ports/clock.ts";
import type { Delivered } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";

/**
 * `stored` is a row; `dead` was refused by the store; `settled` is one of the two, and nobody knows
 * which, because who sent it was stopped before the answer; `replicated` is confirmed by the broker;
 * `withdrawn` never became durable; after `time is up` and `stopped` nobody can tell yet.
 */
export type Outcome =
  | "stored"
  | "dead"
  | "settled"
  | "replicated"
  | "withdrawn"
  | "time is up"
  | "stopped";

export class Acknowledgements {
  /** They are kept by the numbers of their writes, ascending; all of those are of this run. */
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  /** The broker has all numbers of this run through this one. */
  #replicatedThrough = 0;
  #isStopped = false;

  constructor(private readonly clock: Pick<Clock, "setTimeout">) {}

  /** It is true while somebody waits. */
  get isAwaited(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Waits for what becomes of a write. It has to be called when that was accepted, before anything
   * can have become of it.
   */
  wait({ seq }: Version, timeoutMs: number): Promise<Outcome> {
    if (this.#isStopped) return Promise.resolve("stopped");
    return new Promise((resolve) => {
      const cancelTimer = this.clock.setTimeout(() => this.#tell(seq, "time is up"), timeoutMs);
      this.#waiting.set(seq, (outcome) => {
        cancelTimer();
        resolve(outcome);
      });
    });
  }

  /**
   * Tells those whose writes are in this batch.
   * @param run whose writes may be waited for
   */
  settle(run: string, { entries, lastSeq, stored, dead }: Batch & Delivered): void {
    if (!this.#isAnyThrough(lastSeq) || entries[0]!.run !== run) return;
    const rows = new Set(stored.map(({ seq }) => seq));
    const refused = new Set(dead.map(({ seq }) => seq));
    this.#tellThrough(
      lastSeq,
      (seq) => rows.has(seq) ? "stored" : refused.has(seq) ? "dead" : "settled",
    );
  }

  /** Tells those whose writes have numbers through this one: the broker has confirmed them. */
  replicated(throughSeq: number): void {
    this.#replicatedThrough = Math.max(this.#replicatedThrough, throughSeq);
    if (this.#isAnyThrough(throughSeq)) this.#tellThrough(throughSeq, () => "replicated");
  }

  isReplicated({ seq }: Version): boolean {
    return seq <= this.#replicatedThrough;
  }

  withdraw(entries: readonly Entry[]): void {
    for (const { seq } of entries) this.#tell(seq, "withdrawn");
  }

  /** Tells everybody, and lets nobody wait any longer until {@link start}. */
  stop(): void {
    this.#isStopped = true;
    for (const seq of this.#waiting.keys()) this.#tell(seq, "stopped");
  }

  start(): void {
    this.#isStopped = false;
  }

  #isAnyThrough(lastSeq: number): boolean {
    const [next = Infinity] = this.#waiting.keys();
    return next <= lastSeq;
  }

  #tellThrough(lastSeq: number, outcomeOf: (seq: number) => Outcome): void {
    for (const seq of this.#waiting.keys()) {
      if (seq > lastSeq) return;
      this.#tell(seq, outcomeOf(seq));
    }
  }

  #tell(seq: number, outcome: Outcome): void {
    const resolve = this.#waiting.get(seq);
    this.#waiting.delete(seq);
    resolve?.(outcome);
  }
}
