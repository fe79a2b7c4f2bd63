/**
 * Lets reads wait until the store has a write that another instance has accepted. The store is asked
 * for all that wait in one statement, ten times a second: a notification would fail behind a pooler,
 * and make commits take turns.
 */
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
  readonly dueMs: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface ArrivalsParts {
  readonly store: Pick<Store, "marks">;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">;
}

export class Arrivals {
  /** They are due in this order, as all may wait for the same time. */
  readonly #waiting = new Set<Wait>();
  #isAsking = false;
  #cameMeanwhile = false;
  #isStopped = false;
  #cancelTimer: (() => void) | undefined;
  /** Why the store did not answer last. */
  #fault: StoreError | undefined;

  constructor(private readonly parts: ArrivalsParts) {}

  /**
   * Resolves when the store has the write, as a row or a dead letter.
   * @throws AppError `write-not-stored` or `store-unavailable` after ten seconds, `overloaded` when
   *   too many wait
   */
  wait(id: WriteId): Promise<void> {
    if (this.#isStopped) return Promise.reject(stoppedError());
    if (this.#waiting.size >= WAITING_MAX) {
      const detail = "Too many reads wait for the database. Retry later.";
      return Promise.reject(new AppError("overloaded", detail));
    }
    return new Promise((resolve, reject) => {
      const dueMs = this.parts.clock.monotonicMs() + LIMIT_MS;
      this.#waiting.add({ id, dueMs, resolve, reject });
      // It may be too late for an answer that is under way.
      this.#cameMeanwhile = true;
      if (!this.#isAsking) void this.#askUntilAnswered();
    });
  }

  /** Turns away who waits, and whoever comes. */
  stop(): void {
    this.#isStopped = true;
    for (const wait of this.#waiting) this.#end(wait, () => wait.reject(stoppedError()));
    this.#cancelTimer?.();
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
      for (const wait of asked) {
        if ((marks.get(wait.id.run) ?? 0) >= wait.id.seq) this.#end(wait, wait.resolve);
      }
    } catch (error) {
      if (error instanceof StoreError) this.#fault = error;
      else for (const wait of asked) this.#end(wait, () => wait.reject(error));
    }
    this.#rejectDue();
  }

  #rejectDue(): void {
    const nowMs = this.parts.clock.monotonicMs();
    for (const wait of this.#waiting) {
      if (wait.dueMs > nowMs) return;
      this.#end(wait, () => wait.reject(this.#lateError(wait.id)));
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

  #end(wait: Wait, tell: () => void): void {
    this.#waiting.delete(wait);
    tell();
  }
}

function stoppedError(): AppError {
  return new AppError("shutting-down", "The service is shutting down. Retry at another instance.");
}
