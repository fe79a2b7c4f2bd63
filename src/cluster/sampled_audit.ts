/**
 * Audits all the time, a range of numbers a step: what is lost or doubled is told before anybody
 * asks. It only reads, so that no term is confirmed.
 */
import type { Audit, AuditedSource, Checked } from "../ports/audit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Term } from "../ports/terms.ts";
import type { AuditFindings } from "./audit_findings.ts";
import { inBoth, isClean } from "./auditing.ts";
import type { Auditor } from "./auditor.ts";
import type { Duty } from "./duty.ts";

/** A step takes the database about so long. */
const STEP_MS = 250;
const RANGE = { least: 1_000, begin: 10_000, most: 250_000 };
/** Sources come with each start of an instance. */
const REFRESH_MS = 60_000;
/** What is found counts when it is there still, so much later. */
const AGAIN_AFTER_MS = 5_000;
/** Where single numbers cannot be checked quickly all of them are, as seldom … */
const WHOLE_EVERY_MS = 3_600_000;
/** … and no more where that took longer. */
const WHOLE_MAX_MS = 30_000;

interface SampledAuditParts {
  readonly audit: Audit;
  readonly auditor: Pick<Auditor, "report">;
  readonly findings: AuditFindings;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** It returns a number in [0, 1). */
  readonly random: () => number;
}

interface Range {
  readonly source: string;
  readonly first: number;
  readonly last: number;
}

export class SampledAuditDuty implements Duty {
  readonly name = "audit";
  readonly intervalMs = 10_000;
  #sources: readonly AuditedSource[] = [];
  /** Their marks have moved of late: most of what may go wrong goes wrong there. */
  #moving: readonly AuditedSource[] = [];
  #refreshedMs = -Infinity;
  #rangeNumbers = RANGE.begin;
  #suspicion: Range & { readonly found: Checked; readonly atMs: number } | undefined;
  #wholeDueMs = -Infinity;
  #wholeFailure: { readonly error: unknown } | undefined;

  constructor(private readonly parts: SampledAuditParts) {}

  async run(_term: Term, signal: AbortSignal): Promise<void> {
    if (await this.#lookAgain() || signal.aborted) return;
    await this.#refresh();
    if (signal.aborted) return;
    const range = this.#choose();
    if (range === undefined) return this.#auditWhole();
    const { clock, findings } = this.parts;
    const startedMs = clock.monotonicMs();
    const found = await this.#check(range);
    this.#adapt(clock.monotonicMs() - startedMs);
    findings.noteChecked(found.numbers);
    if (!isClean(found)) this.#suspicion = { ...range, found, atMs: clock.monotonicMs() };
  }

  /** Returns true while something is suspected: nothing else is looked at then. */
  async #lookAgain(): Promise<boolean> {
    const suspicion = this.#suspicion;
    if (suspicion === undefined) return false;
    if (this.parts.clock.monotonicMs() < suspicion.atMs + AGAIN_AFTER_MS) return true;
    const { missing, doubled } = inBoth(suspicion.found, await this.#check(suspicion));
    this.#suspicion = undefined;
    this.parts.findings.note({ source: suspicion.source, missing, doubled, strays: [] });
    return true;
  }

  #check({ source, first, last }: Range): Promise<Checked> {
    return this.parts.audit.check(source, first, last);
  }

  async #refresh(): Promise<void> {
    const nowMs = this.parts.clock.monotonicMs();
    if (nowMs < this.#refreshedMs + REFRESH_MS) return;
    const markOf = new Map(this.#sources.map(({ source, mark }) => [source, mark]));
    this.#sources = (await this.parts.audit.samples()).filter((one) => numbersOf(one) > 0);
    this.#moving = this.#sources.filter(({ source, mark }) => mark !== markOf.get(source));
    this.#refreshedMs = nowMs;
  }

  /** Every second time it is the newest numbers of a source that moves, else any numbers of all. */
  #choose(): Range | undefined {
    const { random } = this.parts;
    const takesNewest = this.#moving.length > 0 && random() < 0.5;
    const from = takesNewest
      ? this.#moving[Math.floor(random() * this.#moving.length)]
      : this.#anyByNumbers();
    if (from === undefined) return undefined;
    const { source, unknownThrough, mark } = from;
    const beyond = Math.max(0, numbersOf(from) - this.#rangeNumbers);
    const skipped = takesNewest ? beyond : Math.floor(random() * (beyond + 1));
    const first = unknownThrough + 1 + skipped;
    return { source, first, last: Math.min(mark, first + this.#rangeNumbers - 1) };
  }

  /** Each number is as likely as any other. */
  #anyByNumbers(): AuditedSource | undefined {
    const all = this.#sources.reduce((sum, one) => sum + numbersOf(one), 0);
    let rest = this.parts.random() * all;
    return this.#sources.find((one) => (rest -= numbersOf(one)) < 0) ?? this.#sources.at(-1);
  }

  /** One slow answer, or a quick one, changes it by half at most. */
  #adapt(tookMs: number): void {
    const factor = Math.min(2, Math.max(0.5, STEP_MS / Math.max(1, tookMs)));
    const wanted = Math.round(this.#rangeNumbers * factor);
    this.#rangeNumbers = Math.min(RANGE.most, Math.max(RANGE.least, wanted));
  }

  /** It goes on beside the steps: other duties do not wait for it. Its failure is a later step's. */
  #auditWhole(): void {
    const { clock, auditor } = this.parts;
    const failure = this.#wholeFailure;
    this.#wholeFailure = undefined;
    if (failure !== undefined) throw failure.error;
    if (clock.monotonicMs() < this.#wholeDueMs) return;
    this.#wholeDueMs = clock.monotonicMs() + WHOLE_EVERY_MS;
    auditor.report().then(
      ({ tookMs }) => {
        if (tookMs > WHOLE_MAX_MS) this.#wholeDueMs = Infinity;
      },
      (error) => this.#wholeFailure = { error },
    );
  }
}

function numbersOf({ unknownThrough, mark }: AuditedSource): number {
  return mark - unknownThrough;
}
