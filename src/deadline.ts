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

/**
 * Resolves to false when the work is not done by then; its late result, good or bad, is dropped.
 * @throws whatever the work throws until then
 */
export async function endsWithin(
  work: Promise<unknown>,
  limitMs: number,
  clock: Pick<CommonDeadlineClock, "setTimeout">,
): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  const cancel = clock.setTimeout(() => resolve(false), limitMs);
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    cancel();
  }
}

export function lateError(what: string, limitMs: number): DeadlineError {
  return new DeadlineError(`${what} gave no answer within ${limitMs} ms`);
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
  #disarm: (() => void) | undefined;

  constructor(
    private readonly limitMs: number,
    private readonly clock: CommonDeadlineClock,
    private readonly makeError: () => Error,
  ) {}

  /** So many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Settles as `work` does, or rejects with the error of this deadline. The work itself is not
   * cancelled; its late result, good or bad, is dropped.
   */
  within<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const wait = { dueMs: this.clock.monotonicMs() + this.limitMs, reject };
      this.#waiting.add(wait);
      if (this.#disarm === undefined) this.#arm(this.limitMs);
      work.then((result) => {
        this.#waiting.delete(wait);
        resolve(result);
      }, (error) => {
        this.#waiting.delete(wait);
        reject(error);
      });
    });
  }

  /** Lets whatever still waits wait without an end: whoever calls this has ended it. */
  stop(): void {
    this.#disarm?.();
    this.#disarm = undefined;
  }

  /** The timer stays when its work is done: under load there is always other work by then. */
  #arm(delayMs: number): void {
    this.#disarm = this.clock.setTimeout(() => {
      this.#disarm = undefined;
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
