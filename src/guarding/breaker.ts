/**
 * Puts a circuit breaker in front of one dependency: after some failures in a row calls are refused
 * at once, without a wait for a deadline, and one call a second finds out whether it is back.
 */
import { circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen } from "cockatiel";
import {
  GroupsOverlapError,
  RejectedRowError,
  rootCauseOf,
  StoreRefusesError,
  StoreWentBackError,
} from "../errors.ts";
import type { Clock } from "../ports/clock.ts";

/**
 * With 0, closed, calls go through; with 1, half-open, one call is trying; with 2, open, calls are
 * refused.
 */
type BreakerState = 0 | 1 | 2;

/** While a breaker is in this state every call is made. */
export const CLOSED: BreakerState = 0;

/**
 * The call was not made, because the last ones failed. The guards next door catch it, and say it
 * in the words of their port.
 */
export class BreakerOpenError extends Error {
  override readonly name = "BreakerOpenError";
}

/** One lost connection, or one deadlock, is no outage. */
const FAILURES_TO_OPEN = 5;
/** This is short beside any outage that a person would notice, and long beside a call. */
const OPEN_MS = 1_000;
/** A refusal is an answer, and so is what the store has in other bounds: who gives one is there. */
function isAnswer(error: unknown): boolean {
  return error instanceof RejectedRowError || error instanceof StoreRefusesError ||
    error instanceof StoreWentBackError || error instanceof GroupsOverlapError;
}

/** It is told of both once a change, but of `onOpen` also when a try whether it is back failed. */
export interface BreakerListener {
  /** @param error the failure that opened it */
  onOpen(error: unknown): void;
  onClosed(): void;
}

interface BreakerOptions {
  readonly listener?: BreakerListener;
  /**
   * All calls that one lost connection took with it have one cause, and are one failure then. That
   * is for calls which fail at once while there is no connection, so that nobody waits.
   */
  readonly countsCauses?: boolean;
}

export class Breaker {
  readonly #policy = circuitBreaker(
    handleWhen((error) => !isAnswer(error) && !this.#isCounted(error)),
    // When to try again is decided here: the package goes by the wall clock, which may be set back.
    { breaker: new ConsecutiveBreaker(FAILURES_TO_OPEN), halfOpenAfter: -Infinity },
  );
  #openedMs = -Infinity;
  #lastFailure: unknown;

  /** @param name what messages call the dependency */
  constructor(
    private readonly name: string,
    private readonly clock: Pick<Clock, "monotonicMs">,
    private readonly options: BreakerOptions = {},
  ) {
    const { listener } = options;
    this.#policy.onBreak((reason) => {
      this.#openedMs = clock.monotonicMs();
      listener?.onOpen("error" in reason ? reason.error : undefined);
    });
    this.#policy.onReset(() => listener?.onClosed());
    this.#policy.onFailure(({ reason }) =>
      this.#lastFailure = "error" in reason ? reason.error : undefined
    );
  }

  get state(): BreakerState {
    const { state } = this.#policy;
    return state === CircuitState.Closed ? CLOSED : state === CircuitState.HalfOpen ? 1 : 2;
  }

  /**
   * Makes the call, unless the breaker is open.
   * @throws BreakerOpenError at once when the call is not made; whatever `call` throws when it is
   */
  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#refuses()) {
      throw new BreakerOpenError(`${this.name} is not asked, as its last calls failed`, {
        cause: this.#lastFailure,
      });
    }
    return await this.#policy.execute(call);
  }

  #isCounted(error: unknown): boolean {
    return this.options.countsCauses === true && this.state === CLOSED && error instanceof Error &&
      rootCauseOf(error) === rootCauseOf(this.#lastFailure);
  }

  #refuses(): boolean {
    const { state } = this.#policy;
    if (state === CircuitState.Closed) return false;
    return state === CircuitState.HalfOpen || this.clock.monotonicMs() - this.#openedMs < OPEN_MS;
  }
}
