/**
 * Is one instance's time as the leader: it ends by itself, by the monotonic clock, unless it is
 * prolonged in time, and whatever was begun in it is told by its signal.
 */
import type { Clock } from "../ports/clock.ts";
import type { Term } from "../ports/terms.ts";

/** Each of the two has to be heard of within the life of a lease. */
export type Authority = "lease" | "store";

export class Office {
  readonly #over = new AbortController();
  readonly #endsMs: Record<Authority, number>;
  #cancelTimer: () => void = () => {};
  /** In milliseconds of the monotonic clock. */
  readonly begunMs: number;

  /**
   * @param endMs it ends then, in milliseconds of the monotonic clock
   * @param onLate is told which of the two was not heard of in time; the signal is aborted then
   */
  constructor(
    readonly term: Term,
    readonly sinceMs: number,
    endMs: number,
    private readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">,
    private readonly onLate: (authority: Authority) => void,
  ) {
    this.begunMs = clock.monotonicMs();
    this.#endsMs = { lease: endMs, store: endMs };
    this.#arm();
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  prolong(authority: Authority, endMs: number): void {
    this.#endsMs[authority] = endMs;
    this.#arm();
  }

  /** Tells whether it goes on. Timers come late to a process that was asleep, so this looks. */
  goesOn(): boolean {
    if (this.signal.aborted) return false;
    const { lease, store } = this.#endsMs;
    if (this.clock.monotonicMs() < Math.min(lease, store)) return true;
    this.end();
    this.onLate(lease <= store ? "lease" : "store");
    return false;
  }

  end(): void {
    this.#cancelTimer();
    this.#over.abort();
  }

  #arm(): void {
    this.#cancelTimer();
    if (!this.goesOn()) return;
    const leftMs = Math.min(...Object.values(this.#endsMs)) - this.clock.monotonicMs();
    // Timers may come a little early, by the fractions of a millisecond that they leave out.
    this.#cancelTimer = this.clock.setTimeout(() => this.#arm(), leftMs);
  }
}
