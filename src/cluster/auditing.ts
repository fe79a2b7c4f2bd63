/**
 * Audits all numbers of all sources: the sums of one moment first, then number by number where
 * they do not agree. What is missing or doubled was so at two looks: somebody may have replayed a
 * dead letter that was not there, or restored a row, between them.
 */
import { countNumbers } from "../domain.ts";
import type { Audit, Checked, Findings, SurveyedSource } from "../ports/audit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Interval } from "../ports/group_store.ts";
import { intersect } from "./number_ranges.ts";

export interface AuditLimits {
  /** So many numbers are compared by one statement. */
  readonly rangeNumbers: number;
  /** So many intervals and numbers are named; then it is over. */
  readonly named: number;
}

export const AUDIT_LIMITS: AuditLimits = { rangeNumbers: 250_000, named: 1_000 };

export interface Doubled {
  readonly seq: number;
  readonly times: number;
}

export interface SourceFindings {
  readonly source: string;
  readonly missing: readonly Interval[];
  readonly doubled: readonly Doubled[];
  /** Rows have them, and no mark accounts for them. */
  readonly strays: readonly number[];
}

export interface AuditTotals {
  readonly sources: number;
  /** So many were given out, and are audited … */
  readonly numbers: number;
  /** … and so many by releases that noted less. */
  readonly unknown: number;
  readonly rows: number;
  readonly dead: number;
  readonly retired: number;
  readonly discarded: number;
  readonly withdrawn: number;
  readonly accepted: number;
}

export interface AuditReport {
  readonly totals: AuditTotals;
  /** They are those of the findings: there is more where `complete` is false. */
  readonly missing: number;
  readonly doubled: number;
  readonly strays: number;
  readonly complete: boolean;
  readonly findings: readonly SourceFindings[];
  /** It is said in sentences. */
  readonly cannotKnow: readonly string[];
  readonly tookMs: number;
}

export async function auditAll(
  audit: Audit,
  clock: Pick<Clock, "monotonicMs">,
  limits = AUDIT_LIMITS,
): Promise<AuditReport> {
  const startedMs = clock.monotonicMs();
  const surveyed = await audit.survey();
  const findings: SourceFindings[] = [];
  const returned: string[] = [];
  let left = limits.named;
  let complete = true;
  for (const source of surveyed) {
    if (source.agrees && source.strays === 0) continue;
    if (left <= 0) {
      complete = false;
      break;
    }
    const found = await examine(audit, source, limits, left);
    complete &&= found.complete;
    const named = found.missing.length + found.doubled.length + found.strays.length;
    left -= named;
    if (named > 0) findings.push(found.findings);
    else if (!source.agrees) returned.push(source.source);
  }
  const totals = totalsOf(surveyed);
  return {
    totals,
    missing: countNumbers(findings.flatMap(({ missing }) => missing)),
    doubled: findings.reduce((sum, { doubled }) => sum + doubled.length, 0),
    strays: findings.reduce((sum, { strays }) => sum + strays.length, 0),
    ...{ complete, findings },
    cannotKnow: unknowable(totals, returned),
    tookMs: clock.monotonicMs() - startedMs,
  };
}

async function examine(
  audit: Audit,
  { source, unknownThrough, mark, agrees, strays }: SurveyedSource,
  { rangeNumbers }: AuditLimits,
  named: number,
) {
  const missing: Interval[] = [];
  const doubled: Doubled[] = [];
  let complete = true;
  for (let first = unknownThrough + 1; !agrees && first <= mark; first += rangeNumbers) {
    if (missing.length + doubled.length >= named) {
      complete = false;
      break;
    }
    const found = await checkTwice(audit, source, first, Math.min(mark, first + rangeNumbers - 1));
    complete &&= found.complete;
    missing.push(...found.missing);
    doubled.push(...found.doubled);
  }
  const room = Math.max(1, named - missing.length - doubled.length);
  const astray = strays === 0 ? [] : await straysTwice(audit, source, room);
  // Two rows may have one stray number, so that fewer numbers than rows can be all of them.
  complete &&= astray.length < room || strays <= room;
  return {
    ...{ complete, missing, doubled, strays: astray },
    findings: { source, missing: joined(missing), doubled, strays: astray },
  };
}

/** Intervals of two ranges may touch. */
function joined(intervals: readonly Interval[]): Interval[] {
  const whole: Interval[] = [];
  for (const { first, last } of intervals) {
    const before = whole.at(-1);
    if (before !== undefined && before.last + 1 >= first) {
      whole[whole.length - 1] = { first: before.first, last };
    } else whole.push({ first, last });
  }
  return whole;
}

interface FoundInBoth {
  readonly missing: readonly Interval[];
  readonly doubled: readonly Doubled[];
  /** All of it is named. */
  readonly complete: boolean;
}

async function checkTwice(
  audit: Audit,
  source: string,
  first: number,
  last: number,
): Promise<FoundInBoth> {
  const once = await audit.check(source, first, last);
  if (isClean(once)) return { missing: [], doubled: [], complete: true };
  return inBoth(once, await audit.check(source, first, last));
}

export function isClean({ missing, doubled }: Checked): boolean {
  return missing.numbers === 0 && doubled.numbers === 0;
}

/** Returns what two looks at the same numbers have found. */
export function inBoth(once: Checked, again: Checked): FoundInBoth {
  const before = new Set(once.doubled.first.map(({ seq }) => seq));
  return {
    missing: intersect(once.missing.first, again.missing.first),
    doubled: again.doubled.first.filter(({ seq }) => before.has(seq)),
    complete: isNamed(again.missing, countNumbers(again.missing.first)) &&
      isNamed(again.doubled, again.doubled.first.length),
  };
}

function isNamed({ numbers }: Findings<unknown>, named: number): boolean {
  return numbers <= named;
}

async function straysTwice(audit: Audit, source: string, limit: number): Promise<number[]> {
  const once = new Set(await audit.strays(source, limit));
  return (await audit.strays(source, limit)).filter((seq) => once.has(seq));
}

function totalsOf(surveyed: readonly SurveyedSource[]): AuditTotals {
  const sum = (of: (source: SurveyedSource) => number) =>
    surveyed.reduce((total, source) => total + of(source), 0);
  return {
    sources: surveyed.length,
    numbers: sum(({ mark, unknownThrough }) => Math.max(0, mark - unknownThrough)),
    unknown: sum(({ unknownThrough }) => unknownThrough),
    rows: sum(({ rows }) => rows),
    dead: sum(({ dead }) => dead),
    retired: sum(({ gone }) => gone.retired),
    discarded: sum(({ gone }) => gone.discarded),
    withdrawn: sum(({ gone }) => gone.withdrawn),
    accepted: sum(({ gone }) => gone.accepted),
  };
}

/** @param returned sources whose sums do not agree, though nothing is missing or doubled */
function unknowable({ unknown, withdrawn }: AuditTotals, returned: readonly string[]): string[] {
  return [
    ...unknown === 0 ? [] : [
      `${unknown} numbers were brought by earlier releases, which noted less of them: they are ` +
      "not compared.",
    ],
    ...withdrawn === 0 ? [] : [
      `${withdrawn} numbers were withdrawn: they never became durable, or a damaged disk lost them.`,
    ],
    ...returned.slice(0, 100).map((source) =>
      `Rows of ${source} have numbers that are noted as gone as well: they may have been restored.`
    ),
    "Writes that were only on a disk that is gone, and never came to the database, have left no " +
    "number there.",
    "A database that went back to an older state, marks and all, has no numbers of what came after " +
    "it from runs that have ended.",
    "Rows that other programs inserted have no numbers.",
  ];
}
