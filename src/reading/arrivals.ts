/**
 * Lets reads wait until the store has a write that another instance has accepted. The store is asked
 * for all that wait in one statement, ten times a second: a notification would fail behind a pooler,
 * and make commits take turns.
 */
import { CommonDeadline, DeadlineError, lateError } from "../deadline.ts";
import { type WriteId, writeId } from "../domain.ts";
import { AppError, StoreError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Store } from "../ports/store.ts";

const POLL_MS = 100;
/** It is as long as a `flushed` write waits. */
const LIMIT_MS = 10_000;
const WAITING_MAX = 10_000;

interface Wait {
  readonly id: WriteId;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface ArrivalsParts {
  readonly store: Pick<Store, "marks">;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">;
}

export class Arrivals {
  readonly #waiting = new Set<Wait>();
  readonly #deadline: CommonDeadline;
  #isAsking = false;
  #cameMeanwhile = false;
  #isStopped = false;
  #cancelTimer: (() => void) | undefined;
  /** Why the store did not answer last. */
  #fault: StoreError | undefined;

  constructor(private readonly parts: ArrivalsParts) {
    this.#deadline = new CommonDeadline(
      LIMIT_MS,
      parts.clock,
      () => lateError("the store", LIMIT_MS),
    );
  }

  /**
   * Resolves when the store has the write, as a row or a dead letter.
   * @throws AppError `write-not-stored` or `store-unavailable` after ten seconds, `overloaded` when
   *   too many wait
   */
  async wait(id: WriteId): Promise<void> {
    if (this.#isStopped) throw stoppedError();
    if (this.#waiting.size >= WAITING_MAX) {
      throw new AppError("overloaded", "Too many reads wait for the database. Retry later.");
    }
    const { promise: arrival, resolve, reject } = Promise.withResolvers<void>();
    const wait: Wait = { id, resolve, reject };
    this.#waiting.add(wait);
    // It may be too late for an answer that is under way.
    this.#cameMeanwhile = true;
    if (!this.#isAsking) void this.#askUntilAnswered();
    try {
      await this.#deadline.within(arrival);
    } catch (error) {
      throw error instanceof DeadlineError ? this.#lateError(id) : error;
    } finally {
      this.#waiting.delete(wait);
      if (this.#waiting.size === 0) this.#stopTimers();
    }
  }

  /** Turns away who waits, and whoever comes. */
  stop(): void {
    this.#isStopped = true;
    for (const { reject } of this.#waiting) reject(stoppedError());
  }

  #stopTimers(): void {
    this.#deadline.stop();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  async #askUntilAnswered(): Promise<void> {
    this.#isAsking = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    while (this.#cameMeanwhile && this.#waiting.size > 0) {
      this.#cameMeanwhile = false;
      await this.#ask([...this.#waiting]);
    }
    this.#isAsking = false;
    if (this.#waiting.size > 0) this.#askLater();
  }

  #askLater(): void {
    this.#cancelTimer = this.parts.clock.setTimeout(() => {
      this.#cameMeanwhile = true;
      void this.#askUntilAnswered();
    }, POLL_MS);
  }

  async #ask(asked: readonly Wait[]): Promise<void> {
    try {
      const marks = await this.parts.store.marks([...new Set(asked.map(({ id }) => id.run))]);
      this.#fault = undefined;
      for (const { id, resolve } of asked) if ((marks.get(id.run) ?? 0) >= id.seq) resolve();
    } catch (error) {
      if (error instanceof StoreError) this.#fault = error;
      else for (const { reject } of asked) reject(error);
    }
  }

  #lateError(id: WriteId): AppError {
    if (this.#fault !== undefined) {
      const detail =
        "Whether the database has the write is not known, as it cannot be asked. Retry.";
      return new AppError("store-unavailable", detail, { cause: this.#fault });
    }
    return new AppError(
      "write-not-stored",
      `The database does not have ${writeId(id)} after ${LIMIT_MS / 1_000} s. Retry, or read at ` +
        "the instance that accepted it.",
    );
  }
}

function stoppedError(): AppError {
  return new AppError("shutting-down", "The service is shutting down. Retry at another instance.");
}
