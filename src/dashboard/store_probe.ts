/**
 * Asks the store for its dead letters while somebody watches: how many there are, and now and then
 * why. Whether it answers shows at once whether it is there at all.
 */
import { withDeadline } from "../deadline.ts";
import { StoreRefusesError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { DeadLetters } from "../ports/dead_letters.ts";
import type { Snapshot } from "./snapshot.ts";

const ANSWER_LIMIT_MS = 1_000;
/** A store that takes long to count is asked less often: this times as long as it took … */
const REST_FACTOR = 20;
/** … up to here, as an outage is to show within seconds. */
const LONGEST_REST_MS = 1_500;
const CODE_MAX = 64;
const REASONS_EVERY_MS = 30_000;
/** What was heard so long ago says nothing about now. */
const STALE_MS = 5_000;
/** One late answer is no outage. */
const LATE_ANSWERS = 2;

export class StoreProbe {
  #letters: Snapshot["deadLetters"] = { count: null, reasons: [] };
  #asking: Promise<void> | undefined;
  #counting: Promise<number> | undefined;
  #nextMs = -Infinity;
  #heardMs = -Infinity;
  #reasonsMs = -Infinity;
  #answeringSinceMs = Infinity;
  /** How often in a row no answer came; one that failed at once counts for all. */
  #silences = 0;

  constructor(
    private readonly letters: Pick<DeadLetters, "count" | "reasons">,
    private readonly clock: Pick<Clock, "monotonicMs">,
  ) {}

  get deadLetters(): Snapshot["deadLetters"] {
    return this.#isStale ? { count: null, reasons: [] } : this.#letters;
  }

  /** Undefined as long as nobody asked lately. */
  get answers(): boolean | undefined {
    if (this.#isStale) return undefined;
    return this.#silences === 0 ? true : this.#silences >= LATE_ANSWERS ? false : undefined;
  }

  /** It has answered each question since this moment of the monotonic clock. */
  get answeringSinceMs(): number {
    return this.#answeringSinceMs;
  }

  /** Asks unless it is asking, or did a moment ago. Never rejects. */
  ask(): Promise<void> {
    if (this.#asking !== undefined) return this.#asking;
    if (this.clock.monotonicMs() < this.#nextMs) return Promise.resolve();
    const { clock } = this;
    const askedMs = clock.monotonicMs();
    return this.#asking = this.#ask(askedMs).finally(() => {
      this.#asking = undefined;
      this.#heardMs = clock.monotonicMs();
      const tookMs = this.#heardMs - askedMs;
      this.#nextMs = this.#heardMs + Math.min(REST_FACTOR * tookMs, LONGEST_REST_MS);
    });
  }

  get #isStale(): boolean {
    return this.clock.monotonicMs() - this.#heardMs > STALE_MS;
  }

  async #ask(askedMs: number): Promise<void> {
    try {
      // One that hangs is waited for again, so that never more than one does.
      this.#counting ??= this.letters.count().finally(() => this.#counting = undefined);
      const count = await withDeadline(this.#counting, ANSWER_LIMIT_MS, "The store");
      this.#answered();
      await this.#askReasons(count);
    } catch (error) {
      // Others tell of a store that is away; here it shows in what is not known.
      this.#letters = { count: null, reasons: [] };
      const tookMs = this.clock.monotonicMs() - askedMs;
      if (error instanceof StoreRefusesError) return this.#answered();
      this.#silences += tookMs < ANSWER_LIMIT_MS / 2 ? LATE_ANSWERS : 1;
    }
  }

  #answered(): void {
    if (this.answers !== true) this.#answeringSinceMs = this.clock.monotonicMs();
    this.#silences = 0;
  }

  async #askReasons(count: number): Promise<void> {
    const { clock } = this;
    const isSame = count === this.#letters.count;
    if (isSame && clock.monotonicMs() - this.#reasonsMs < REASONS_EVERY_MS) return;
    const reasons = count === 0
      ? []
      : await withDeadline(this.letters.reasons(), ANSWER_LIMIT_MS, "The store");
    // Other programs can write there, too.
    const bounded = reasons.map((reason) => ({ ...reason, code: reason.code.slice(0, CODE_MAX) }));
    this.#letters = { count, reasons: bounded };
    this.#reasonsMs = clock.monotonicMs();
  }
}
