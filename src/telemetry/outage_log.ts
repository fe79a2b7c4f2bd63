/**
 * Tells of something that is away once when it begins, and once when it is over, with how long it
 * took. One that comes and goes all the time is told every ten seconds at most.
 */
import type { Clock } from "../ports/clock.ts";
import { FAULT_LOG_INTERVAL_MS, type LogFields } from "./log.ts";

interface OutageLogParts {
  /** One that comes and goes is told once in so long; the default is ten seconds. */
  readonly againMs?: number;
  readonly clock: Pick<Clock, "monotonicMs">;
  /**
   * It writes the line of the begin; `heldBack` outages before this one were not told.
   * @param kind which kind of failure it is: another one is another state, and told again
   */
  readonly onBegin: (kind: string, error: unknown, fields: LogFields) => void;
  readonly onEnd: (fields: LogFields) => void;
}

export class OutageLog {
  #sinceMs: number | undefined;
  #failures = 0;
  #toldKind: string | undefined;
  readonly #toldMs = new Map<string, number>();
  #heldBack = 0;

  constructor(private readonly parts: OutageLogParts) {}

  /** Is told of each failure. */
  failed(kind: string, error: unknown, fields: LogFields = {}): void {
    const { clock, onBegin, againMs = FAULT_LOG_INTERVAL_MS } = this.parts;
    const nowMs = clock.monotonicMs();
    this.#sinceMs ??= nowMs;
    this.#failures++;
    if (this.#toldKind === kind) return;
    // One that has begun untold is told as soon as it may, if it still goes on then.
    if (nowMs - (this.#toldMs.get(kind) ?? -Infinity) < againMs) return;
    this.#toldMs.set(kind, nowMs);
    this.#toldKind = kind;
    const heldBack = this.#heldBack;
    this.#heldBack = 0;
    onBegin(kind, error, { ...fields, ...(heldBack > 0 && { heldBack }) });
  }

  /** Is told that it works, as often as it likes. */
  succeeded(fields: LogFields = {}): void {
    if (this.#sinceMs === undefined) return;
    const { clock, onEnd } = this.parts;
    const lastedMs = Math.round(clock.monotonicMs() - this.#sinceMs);
    const failures = this.#failures;
    if (this.#toldKind === undefined) this.#heldBack++;
    else onEnd({ lastedMs, failures, ...fields });
    this.#sinceMs = this.#toldKind = undefined;
    this.#failures = 0;
  }
}
