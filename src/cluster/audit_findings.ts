/** Tells what audits find, and counts it, each number once however often it is met. */
import { countNumbers } from "../domain.ts";
import type { Interval } from "../ports/group_store.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { SourceFindings } from "./auditing.ts";
import { KnownNumbers } from "./number_ranges.ts";

/** Beyond so many, of each kind, nothing is told that could be told again and again. */
const KNOWN_MAX = 10_000;
/** A line of the log names so many of each kind. */
const LOGGED_MAX = 20;

interface AuditFindingsParts {
  readonly metrics: Pick<
    Metrics,
    "auditChecked" | "auditDoubled" | "auditLastRun" | "auditLost"
  >;
  readonly log: Pick<Log, "error">;
}

export class AuditFindings {
  readonly #missing = new KnownNumbers(KNOWN_MAX);
  readonly #doubled = new KnownNumbers(KNOWN_MAX);
  readonly #strays = new KnownNumbers(KNOWN_MAX);

  constructor(private readonly parts: AuditFindingsParts) {}

  noteChecked(numbers: number): void {
    this.parts.metrics.auditChecked.inc(numbers);
    this.parts.metrics.auditLastRun.note();
  }

  /** @param found was there at two looks */
  note({ source, missing, doubled, strays }: SourceFindings): void {
    const { metrics, log } = this.parts;
    const alone = (seq: number): Interval => ({ first: seq, last: seq });
    const lost = this.#missing.add(source, missing);
    const twice = this.#doubled.add(source, doubled.map(({ seq }) => alone(seq)));
    const astray = this.#strays.add(source, strays.map(alone));
    metrics.auditLost.inc(countNumbers(lost));
    metrics.auditDoubled.inc(countNumbers(twice));
    if (lost.length + twice.length + astray.length === 0) return;
    log.error("The audit found numbers that are not in the database once; see dsproxy audit", {
      event: "audit-found",
      source,
      ...lost.length > 0 && { missing: logged(lost) },
      ...twice.length > 0 && { doubled: logged(twice) },
      ...astray.length > 0 && { withoutMark: logged(astray) },
    });
  }
}

function logged(intervals: readonly Interval[]): string {
  const named = intervals.slice(0, LOGGED_MAX).map(({ first, last }) =>
    first === last ? `${first}` : `${first}..${last}`
  );
  const rest = intervals.length - named.length;
  return named.join(", ") + (rest > 0 ? `, and ${rest} more` : "");
}
