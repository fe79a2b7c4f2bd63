/** Every wait on something outside the process has an end. */

export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/**
 * Settles as `work` does, or rejects with {@link DeadlineError} after `limitMs`. The work itself is
 * not cancelled; its late result, good or bad, is dropped.
 */
export function withDeadline<T>(work: Promise<T>, limitMs: number, what: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(lateError(what, limitMs)),
      limitMs,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** It is what {@link withDeadline} rejects with. */
export function lateError(what: string, limitMs: number): DeadlineError {
  return new DeadlineError(`${what} gave no answer within ${limitMs} ms`);
}

interface DeadlineClock {
  monotonicMs(): number;
  setTimeout(callback: () => void, delayMs: number): () => void;
}

interface Waiting {
  readonly dueMs: number;
  readonly reject: (error: Error) => void;
}

/**
 * Does as {@link withDeadline} for many pieces of work with one limit, and has one timer for all of
 * them: a timer of its own costs a short piece more than all else that is done for it.
 */
export class SharedDeadline {
  /** These wait in the order in which they are due. */
  readonly #waiting = new Set<Waiting>();
  #cancelTimer: (() => void) | undefined;

  constructor(
    private readonly limitMs: number,
    private readonly clock: DeadlineClock,
    private readonly makeError: () => Error,
  ) {}

  /** So many pieces of work are under way. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Settles as `work` does, or rejects with the error of this deadline after the limit. */
  bound<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting = { dueMs: this.clock.monotonicMs() + this.limitMs, reject };
      this.#waiting.add(waiting);
      if (this.#cancelTimer === undefined) this.#setTimer(this.limitMs);
      work.then((result) => {
        this.#waiting.delete(waiting);
        resolve(result);
      }, (error) => {
        this.#waiting.delete(waiting);
        reject(error);
      });
    });
  }

  /** Lets whatever still waits wait without an end: whoever calls this has ended it. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** The timer outlives the work it was set for: under load there is always more by then. */
  #setTimer(delayMs: number): void {
    this.#cancelTimer = this.clock.setTimeout(() => {
      this.#cancelTimer = undefined;
      this.#rejectLate();
    }, delayMs);
  }

  #rejectLate(): void {
    const nowMs = this.clock.monotonicMs();
    for (const waiting of this.#waiting) {
      if (waiting.dueMs > nowMs) return this.#setTimer(waiting.dueMs - nowMs);
      this.#waiting.delete(waiting);
      waiting.reject(this.makeError());
    }
  }
}
