/**
 * Does the leader's duties for one term: one step at a time, each duty by its own interval. A step
 * that fails is tried again, ever more seldom; that it fails is told once, and that it is done again.
 */
import { Backoff } from "../backoff.ts";
import { TermOverError } from "../errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Term } from "../ports/terms.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Duty } from "./duty.ts";
import { pause } from "./pause.ts";

interface RoundsParts {
  readonly clock: Pick<Clock, "setTimeout" | "monotonicMs">;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
  readonly log: Pick<Log, "info" | "warn">;
  readonly metrics: Pick<Metrics, "dutySteps">;
}

/** What is wrong with a duty may be mended by a person, who then wants to see it work. */
const RETRY = { firstMs: 1_000, maxMs: 60_000 };

interface Planned {
  readonly duty: Duty;
  readonly backoff: Backoff;
  dueMs: number;
  hasFailed: boolean;
}

export class Rounds {
  readonly #planned: readonly Planned[];

  constructor(duties: readonly Duty[], private readonly parts: RoundsParts) {
    const { random, metrics } = parts;
    for (const { name } of duties) {
      for (const outcome of ["ok", "failed"]) metrics.dutySteps.inc({ duty: name, outcome }, 0);
    }
    this.#planned = duties.map((duty) => ({
      duty,
      backoff: new Backoff({ ...RETRY, random }),
      dueMs: -Infinity,
      hasFailed: false,
    }));
  }

  /**
   * Goes on until the signal is aborted, and the step under way has ended.
   * @param mayBegin is asked before each step: a signal may come late to a process that was asleep
   * @throws TermOverError when another leads
   */
  async run(term: Term, signal: AbortSignal, mayBegin: () => boolean): Promise<void> {
    for (;;) {
      const next = this.#planned.toSorted((a, b) => a.dueMs - b.dueMs)[0];
      const waitMs = (next?.dueMs ?? Infinity) - this.parts.clock.monotonicMs();
      if (waitMs > 0) await pause(waitMs, this.parts.clock, signal);
      if (signal.aborted || !mayBegin()) return;
      if (next !== undefined && next.dueMs <= this.parts.clock.monotonicMs()) {
        await this.#step(next, term, signal);
      }
    }
  }

  async #step(planned: Planned, term: Term, signal: AbortSignal): Promise<void> {
    const { duty, backoff } = planned;
    let restMs = duty.intervalMs;
    try {
      await duty.run(term, signal);
      backoff.reset();
      this.#note(planned, "ok");
    } catch (error) {
      if (error instanceof TermOverError) throw error;
      // What is given up because the lease is lost has not failed.
      if (signal.aborted) return;
      restMs = backoff.nextMs();
      this.#note(planned, "failed", error);
    } finally {
      planned.dueMs = this.parts.clock.monotonicMs() + restMs;
    }
  }

  #note(planned: Planned, outcome: "ok" | "failed", error?: unknown): void {
    const { log, metrics } = this.parts;
    const { duty: { name } } = planned;
    metrics.dutySteps.inc({ duty: name, outcome });
    const fails = outcome === "failed";
    if (fails === planned.hasFailed) return;
    planned.hasFailed = fails;
    if (fails) {
      const told = { event: "duty-failed", duty: name, error } as const;
      log.warn(`The leader's duty "${name}" fails; it is tried again`, told);
    } else {
      const told = { event: "duty-back", duty: name } as const;
      log.info(`The leader's duty "${name}" is done again`, told);
    }
  }
}
