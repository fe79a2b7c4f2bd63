/** Deletes rows that are older than is wanted, a few at a time, over and over. */
import type { Clock } from "../ports/clock.ts";
import type { Retention } from "../ports/retention.ts";
import type { Term } from "../ports/terms.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Duty } from "./duty.ts";
import { pause } from "./pause.ts";

/** Such a batch takes some 15 ms, which no flush notices. */
const BATCH_ROWS = 1_000;
/** After a batch this rests for so many times as long as it took: the database is for writes. */
const REST_FACTOR = 3;
const REST_MIN_MS = 10;
/** A step ends after so long, as the other duties wait for it. */
const STEP_MS = 1_000;
/** What gets old in the meantime can wait. */
const PASS_REST_MS = 600_000;

interface RetentionDutyParts {
  readonly retention: Retention;
  /** Rows whose `ts` is longer ago may go. */
  readonly retentionMs: number;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, "retiredRows">;
  readonly log: Pick<Log, "debug" | "info" | "warn">;
}

/** It is one walk over all users. */
interface Pass {
  readonly startedMs: number;
  readonly olderThanTs: number;
  rows: number;
  refused: number;
  next: string | undefined;
}

export class RetentionDuty implements Duty {
  readonly name = "retention";
  readonly intervalMs = 500;
  #pass: Pass | undefined;
  #restsUntilMs = -Infinity;

  constructor(private readonly parts: RetentionDutyParts) {}

  async run(term: Term, signal: AbortSignal): Promise<void> {
    const { clock } = this.parts;
    if (clock.monotonicMs() < this.#restsUntilMs) return;
    const endsMs = clock.monotonicMs() + STEP_MS;
    while (!signal.aborted && clock.monotonicMs() < endsMs) {
      const startedMs = clock.monotonicMs();
      if (await this.#batch(term)) return;
      const tookMs = clock.monotonicMs() - startedMs;
      await pause(Math.max(REST_MIN_MS, REST_FACTOR * tookMs), clock, signal);
    }
  }

  /** Returns true when the pass is done. */
  async #batch(term: Term): Promise<boolean> {
    const { retention, metrics } = this.parts;
    const pass = this.#pass ??= this.#begin();
    const done = await retention.retire(term, pass.olderThanTs, BATCH_ROWS, pass.next);
    metrics.retiredRows.inc(done.rows);
    pass.rows += done.rows;
    pass.refused += done.refused;
    pass.next = done.next;
    if (pass.next !== undefined) return false;
    this.#end(pass);
    return true;
  }

  #begin(): Pass {
    const { clock, retentionMs } = this.parts;
    return {
      startedMs: clock.monotonicMs(),
      olderThanTs: Math.floor((clock.now() - retentionMs) / 1000),
      rows: 0,
      refused: 0,
      next: undefined,
    };
  }

  #end({ startedMs, olderThanTs, rows, refused }: Pass): void {
    const { clock, log } = this.parts;
    this.#pass = undefined;
    this.#restsUntilMs = clock.monotonicMs() + PASS_REST_MS;
    const what = {
      event: "retention-done",
      rows,
      olderThan: new Date(olderThanTs * 1000).toISOString(),
      tookMs: Math.round(clock.monotonicMs() - startedMs),
    } as const;
    if (refused > 0) {
      log.warn("Retention deleted old rows, and the database refused to delete others", {
        ...what,
        refused,
      });
    } else if (rows > 0) log.info("Retention deleted old rows", what);
    else log.debug("Retention found no old rows", what);
  }
}
