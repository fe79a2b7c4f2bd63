/**
 * Says how long to rest between two flushes of a backlog. It takes all the processors there are, the
 * store's and this process's, and who writes meanwhile waited twenty times as long as ever. Resting
 * as long as working leaves them half, as long as the backlog shrinks all the same.
 */
import type { Clock } from "../ports/clock.ts";

/** For each row that comes, at least so many go. */
const ROWS_GONE_FOR_EACH = 2;
/** A store that takes longer for a batch is not relieved by a longer rest. */
const REST_MAX_MS = 500;

interface Flushed {
  readonly begunMs: number;
  readonly rows: number;
  /** So many wait after it. */
  readonly unsettled: number;
}

export class Pace {
  #restMs = 0;
  /** After the flush before this one so many waited … */
  #unsettled = 0;
  /** … and it ended then; it is undefined before the first. */
  #endedMs: number | undefined;

  /** @param fullRows a flush of so many leaves a backlog */
  constructor(
    private readonly fullRows: number,
    private readonly clock: Pick<Clock, "monotonicMs">,
  ) {}

  /** The next flush is better begun so much later; 0 when there is no reason to wait. */
  get restMs(): number {
    return this.#restMs;
  }

  /** Is told of each flush that was stored. */
  flushed({ begunMs, rows, unsettled }: Flushed): void {
    const nowMs = this.clock.monotonicMs();
    const came = unsettled + rows - this.#unsettled;
    this.#restMs = rows < this.fullRows || came <= 0 || this.#endedMs === undefined
      ? 0
      : this.#affordable(nowMs - begunMs, rows, came / (nowMs - this.#endedMs));
    this.#unsettled = unsettled;
    this.#endedMs = nowMs;
  }

  /** Somebody waits for what is at the end of the backlog. */
  hurry(): void {
    this.#restMs = 0;
  }

  #affordable(tookMs: number, rows: number, comePerMs: number): number {
    const periodMs = rows / (ROWS_GONE_FOR_EACH * comePerMs);
    return Math.max(0, Math.min(tookMs, periodMs - tookMs, REST_MAX_MS));
  }
}
