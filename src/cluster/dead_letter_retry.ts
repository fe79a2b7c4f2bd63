/**
 * Tries dead letters again as they grow older: what refused them may have been mended, and nobody
 * thought of them.
 */
import { type Entry, writeId } from "../domain.ts";
import { RejectedRowError, TermOverError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { DeadLetterRetries, DueLetter, LetterPlace } from "../ports/dead_letter_retries.ts";
import type { Term } from "../ports/terms.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Duty } from "./duty.ts";

/** A step tries so many, and ends after so long, as the other duties wait for it. */
const TRIED_MAX = 100;
const STEP_MS = 1_000;

interface DeadLetterRetryParts {
  readonly retries: DeadLetterRetries;
  /** A dead letter is tried once at each of these ages, which ascend. */
  readonly agesMs: readonly number[];
  /** Drops all copies of these users, as `CacheClient.forget` does. */
  readonly forget: (entries: readonly Entry[]) => Promise<void>;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly metrics: Pick<Metrics, "deadLetterRetries">;
  readonly log: Pick<Log, "debug" | "info">;
}

export class DeadLetterRetryDuty implements Duty {
  readonly name = "dead-letter-retry";
  readonly intervalMs = 5_000;
  #from: LetterPlace | undefined;
  /** It went in, or may have, and copies of its user may be older still. */
  #unforgotten: Entry | undefined;

  constructor(private readonly parts: DeadLetterRetryParts) {}

  async run(term: Term, signal: AbortSignal): Promise<void> {
    const { retries, agesMs, clock } = this.parts;
    const endsMs = clock.monotonicMs() + STEP_MS;
    await this.#forget();
    const { letters, next } = await retries.due(agesMs, TRIED_MAX, this.#from);
    const goneIn: string[] = [];
    try {
      for (const letter of letters) {
        // Whoever goes on from the same place does not find those again that were tried.
        if (signal.aborted || clock.monotonicMs() >= endsMs) return;
        await this.#try(term, letter, goneIn);
      }
      this.#from = next;
    } finally {
      this.#tell(goneIn);
    }
  }

  /** One line a step: what was mended may be the reason of thousands. */
  #tell(goneIn: readonly string[]): void {
    if (goneIn.length === 0) return;
    const told = { event: "row-accepted", rows: goneIn.length, id: goneIn[0] } as const;
    this.parts.log.info("Dead letters went in when they were tried again", told);
  }

  async #try(term: Term, letter: DueLetter, goneIn: string[]): Promise<void> {
    const { retries, metrics, log } = this.parts;
    const { passedAges: _, ...place } = letter;
    const id = writeId(letter);
    this.#unforgotten = { ...place, value: "" };
    try {
      const entry = await retries.retry(term, letter);
      if (entry !== undefined) {
        metrics.deadLetterRetries.inc({ outcome: "stored" });
        goneIn.push(id);
      }
    } catch (error) {
      // Any other failure may be that of an answer which was lost.
      if (error instanceof RejectedRowError || error instanceof TermOverError) {
        this.#unforgotten = undefined;
      }
      if (!(error instanceof RejectedRowError)) throw error;
      metrics.deadLetterRetries.inc({ outcome: "refused" });
      log.debug("A dead letter was refused again", { id, error });
    }
    await this.#forget();
  }

  /** Where it fails the next step begins with it. */
  async #forget(): Promise<void> {
    if (this.#unforgotten === undefined) return;
    await this.parts.forget([this.#unforgotten]);
    this.#unforgotten = undefined;
  }
}
