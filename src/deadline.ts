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
      () => reject(new DeadlineError(`${what} gave no answer within ${limitMs} ms`)),
      limitMs,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

interface Waiting {
  /** It is a time by `performance.now()`. */
  readonly dueMs: number;
  readonly reject: (error: DeadlineError) => void;
}

/**
 * Does as {@link withDeadline} for many calls with one limit, and has one timer for all of them: a
 * timer of its own costs a short call more than all else that is done for it.
 */
export class SharedDeadline {
  /** These wait in the order in which they are due. */
  readonly #waiting = new Set<Waiting>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly limitMs: number, private readonly what: string) {}

  /** So many calls wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Settles as `work` does, or rejects with {@link DeadlineError} after the limit. */
  bound<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting = { dueMs: performance.now() + this.limitMs, reject };
      this.#waiting.add(waiting);
      this.#timer ??= setTimeout(this.#endLate, this.limitMs);
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
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #endLate = () => {
    this.#timer = undefined;
    const nowMs = performance.now();
    for (const waiting of this.#waiting) {
      if (waiting.dueMs > nowMs) {
        this.#timer = setTimeout(this.#endLate, waiting.dueMs - nowMs);
        return;
      }
      this.#waiting.delete(waiting);
      waiting.reject(new DeadlineError(`${this.what} gave no answer within ${this.limitMs} ms`));
    }
  };
}
