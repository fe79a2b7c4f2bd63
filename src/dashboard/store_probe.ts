/**
 * Asks the store while somebody watches: whether it is there at all, and for its dead letters, how
 * many there are and now and then why. Millions of them take long to count, which says nothing of
 * whether it is there.
 */
import { endsWithin } from "../deadline.ts";
import { StoreRefusesError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { DeadLetters } from "../ports/dead_letters.ts";
import type { Snapshot } from "./snapshot.ts";

/** Who waits for an answer does so for at most so long … */
const ANSWER_LIMIT_MS = 1_000;
/** … and a store that takes longer than this to answer is not there. */
const SILENT_MS = 1_400;
/** A store that takes long is asked less often: this times as long as it took … */
const REST_FACTOR = 20;
/** … up to here, as an outage is to show within seconds … */
const LONGEST_REST_MS = 1_500;
/** … and up to here to count, which shows nothing that is urgent. */
const LONGEST_COUNT_REST_MS = 60_000;
const CODE_MAX = 64;
const REASONS_EVERY_MS = 30_000;
/** What was heard so long ago says nothing about now. */
const STALE_MS = 5_000;

const UNKNOWN: Snapshot["deadLetters"] = { count: null, reasons: [] };

export class StoreProbe {
  #letters = UNKNOWN;
  /** The questions under way, of which there is one at a time. */
  #asking: Promise<void> | undefined;
  #counting: Promise<void> | undefined;
  #countNextMs = -Infinity;
  #askedMs = -Infinity;
  #nextMs = -Infinity;
  #heardMs = -Infinity;
  #reasonsMs = -Infinity;
  #hasAnswered = false;
  #answeredMs = -Infinity;
  #answeringSinceMs = Infinity;

  constructor(
    private readonly store: {
      readonly ping: () => Promise<void>;
      readonly letters: Pick<DeadLetters, "count" | "reasons">;
    },
    private readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">,
  ) {}

  get deadLetters(): Snapshot["deadLetters"] {
    return this.answers === true ? this.#letters : UNKNOWN;
  }

  /** Undefined as long as nobody asked lately. */
  get answers(): boolean | undefined {
    const nowMs = this.clock.monotonicMs();
    if (this.#asking !== undefined && nowMs - this.#askedMs > SILENT_MS) return false;
    return nowMs - this.#heardMs > STALE_MS ? undefined : this.#hasAnswered;
  }

  /** It answered last at this moment of the monotonic clock. */
  get answeredMs(): number {
    return this.#answeredMs;
  }

  /** It has answered each question since this moment of the monotonic clock. */
  get answeringSinceMs(): number {
    return this.#answeringSinceMs;
  }

  /** Asks unless it is asking, or did a moment ago. */
  ask(): void {
    const nowMs = this.clock.monotonicMs();
    if (this.#asking !== undefined || nowMs < this.#nextMs) return;
    this.#askedMs = nowMs;
    this.#asking = this.#ask().finally(() => this.#heard());
  }

  /** Asks, and waits for the answer, though not for long. Never rejects. */
  async askAndWait(): Promise<void> {
    this.ask();
    const answered = this.#asking?.then(() => this.#counting);
    if (answered !== undefined) await endsWithin(answered, ANSWER_LIMIT_MS, this.clock);
  }

  #heard(): void {
    this.#asking = undefined;
    this.#heardMs = this.clock.monotonicMs();
    const tookMs = this.#heardMs - this.#askedMs;
    this.#nextMs = this.#heardMs + Math.min(REST_FACTOR * tookMs, LONGEST_REST_MS);
  }

  async #ask(): Promise<void> {
    try {
      await this.store.ping();
      this.#answered();
      this.#countNow();
    } catch (error) {
      // Others tell of a store that is away; here it shows in what is not known.
      this.#letters = UNKNOWN;
      if (error instanceof StoreRefusesError) return this.#answered();
      this.#hasAnswered = false;
    }
  }

  #countNow(): void {
    const begunMs = this.clock.monotonicMs();
    if (this.#counting !== undefined || begunMs < this.#countNextMs) return;
    this.#counting = this.#count().finally(() => {
      this.#counting = undefined;
      const endedMs = this.clock.monotonicMs();
      const restMs = Math.min(REST_FACTOR * (endedMs - begunMs), LONGEST_COUNT_REST_MS);
      this.#countNextMs = endedMs + restMs;
    });
  }

  async #count(): Promise<void> {
    try {
      await this.#askReasons(await this.store.letters.count());
    } catch {
      // What was not counted is not known.
      this.#letters = UNKNOWN;
    }
  }

  #answered(): void {
    this.#answeredMs = this.clock.monotonicMs();
    if (this.answers !== true) this.#answeringSinceMs = this.#answeredMs;
    this.#hasAnswered = true;
  }

  async #askReasons(count: number): Promise<void> {
    const { clock } = this;
    const isSame = count === this.#letters.count;
    if (isSame && clock.monotonicMs() - this.#reasonsMs < REASONS_EVERY_MS) return;
    const reasons = count === 0 ? [] : await this.store.letters.reasons();
    // Other programs can write there, too.
    const bounded = reasons.map((reason) => ({ ...reason, code: reason.code.slice(0, CODE_MAX) }));
    this.#letters = { count, reasons: bounded };
    this.#reasonsMs = clock.monotonicMs();
  }
}
