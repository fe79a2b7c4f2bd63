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

interface CommonDeadlineClock {
  monotonicMs(): number;
  setTimeout(callback: () => void, delayMs: number): () => void;
}

interface Wait {
  readonly dueMs: number;
  readonly reject: (error: Error) => void;
}

/**
 * Gives each piece of work the same time. All share one timer, because one for each costs as much
 * as the rest of a small request.
 */
export class CommonDeadline {
  /** They are due in the order in which they were added, as all have the same time. */
  readonly #waiting = new Set<Wait>();
  #isArmed = false;

  constructor(
    private readonly limitMs: number,
    private readonly clock: CommonDeadlineClock,
    private readonly makeError: () => Error,
  ) {}

  /**
   * Settles as `work` does, or rejects with the error of this deadline. The work itself is not
   * cancelled; its late result, good or bad, is dropped.
   */
  within<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const wait = { dueMs: this.clock.monotonicMs() + this.limitMs, reject };
      this.#waiting.add(wait);
      if (!this.#isArmed) this.#arm(this.limitMs);
      work.then((result) => {
        this.#waiting.delete(wait);
        resolve(result);
      }, (error) => {
        this.#waiting.delete(wait);
        reject(error);
      });
    });
  }

  /** The timer stays when its work is done: under load there is always other work by then. */
  #arm(delayMs: number): void {
    this.#isArmed = true;
    this.clock.setTimeout(() => {
      this.#isArmed = false;
      this.#rejectDue();
    }, delayMs);
  }

  #rejectDue(): void {
    const nowMs = this.clock.monotonicMs();
    for (const wait of this.#waiting) {
      if (wait.dueMs > nowMs) return this.#arm(wait.dueMs - nowMs);
      this.#waiting.delete(wait);
      wait.reject(this.makeError());
    }
  }
}
