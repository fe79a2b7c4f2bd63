/** Keeps those who wait until the store has their write. */
import type { Entry, Version } from "../domain.ts";
import type { Clock } from "../ports/clock.ts";
import type { Delivered } from "../ports/sink.ts";
import type { Batch } from "../ports/source.ts";

/**
 * `stored` is a row; `dead` was refused by the store; `settled` is one of the two, and nobody knows
 * which, because who sent it was stopped before the answer; `withdrawn` never became durable; after
 * `time is up` and `stopped` nobody can tell yet.
 */
export type Outcome = "stored" | "dead" | "settled" | "withdrawn" | "time is up" | "stopped";

export class Acknowledgements {
  /** They are kept by the numbers of their writes, ascending; all of those are of this run. */
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
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
    const [next = Infinity] = this.#waiting.keys();
    if (next > lastSeq || entries[0]!.run !== run) return;
    const rows = new Set(stored.map(({ seq }) => seq));
    const refused = new Set(dead.map(({ seq }) => seq));
    for (const seq of this.#waiting.keys()) {
      if (seq > lastSeq) return;
      this.#tell(seq, rows.has(seq) ? "stored" : refused.has(seq) ? "dead" : "settled");
    }
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

  #tell(seq: number, outcome: Outcome): void {
    const resolve = this.#waiting.get(seq);
    this.#waiting.delete(seq);
    resolve?.(outcome);
  }
}
