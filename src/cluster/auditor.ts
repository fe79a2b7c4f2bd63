/**
 * Audits for who asks, one audit at a time. Who comes while one runs waits for the next one, which
 * all who wait share: what happened before they asked has to be in their report.
 */
import type { Audit } from "../ports/audit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Interval } from "../ports/group_store.ts";
import type { AuditFindings } from "./audit_findings.ts";
import { auditAll, type AuditReport } from "./auditing.ts";

export class Auditor {
  #running: Promise<AuditReport> | undefined;
  #next: Promise<AuditReport> | undefined;

  constructor(
    private readonly audit: Audit,
    private readonly clock: Pick<Clock, "monotonicMs">,
    private readonly findings: AuditFindings,
  ) {}

  report(): Promise<AuditReport> {
    if (this.#next !== undefined) return this.#next;
    if (this.#running === undefined) return this.#begin();
    const ended = this.#running.catch(() => {}); // It is told to those who asked for it.
    return this.#next = ended.then(() => {
      this.#next = undefined;
      return this.#begin();
    });
  }

  #begin(): Promise<AuditReport> {
    const running = this.#auditAll().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    return this.#running = running;
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
