/** Audits for who asks, one audit at a time: who comes while one runs gets its report as well. */
import type { Audit } from "../ports/audit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Interval } from "../ports/group_store.ts";
import type { AuditFindings } from "./audit_findings.ts";
import { auditAll, type AuditReport } from "./auditing.ts";

export class Auditor {
  #running: Promise<AuditReport> | undefined;

  constructor(
    private readonly audit: Audit,
    private readonly clock: Pick<Clock, "monotonicMs">,
    private readonly findings: AuditFindings,
  ) {}

  report(): Promise<AuditReport> {
    return this.#running ??= this.#auditAll().finally(() => this.#running = undefined);
  }

  /** @returns so many numbers were missing, and are accepted */
  accept(source: string, gap: Interval, reason: string): Promise<number> {
    return this.audit.accept(source, gap, reason);
  }

  async #auditAll(): Promise<AuditReport> {
    const report = await auditAll(this.audit, this.clock);
    this.findings.noteChecked(report.totals.numbers);
    for (const found of report.findings) this.findings.note(found);
    return report;
  }
}
