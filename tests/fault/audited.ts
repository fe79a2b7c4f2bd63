/** What `dsproxy audit` says of the store of a running instance. */
import assert from "node:assert/strict";
import { Dsproxy } from "../support/dsproxy.ts";

export interface Audited {
  readonly numbers: number;
  readonly missing: number;
  readonly doubled: number;
  readonly strays: number;
}

interface Report extends Omit<Audited, "numbers"> {
  readonly totals: { readonly numbers: number };
  readonly findings: readonly unknown[];
}

/** Runs the command beside the instance, as an operator would. */
export async function auditOf({ settings }: Pick<Dsproxy, "settings">): Promise<Audited> {
  const { code, stdout, log } = await Dsproxy.spawn(settings, ["audit", "--json"]).ended();
  assert.ok(code === 0 || code === 2, `the audit ended with ${code}: ${log}`);
  const { totals: { numbers }, missing, doubled, strays, findings } = JSON.parse(stdout) as Report;
  assert.equal(code, findings.length === 0 ? 0 : 2);
  return { numbers, missing, doubled, strays };
}

/** @param hint how to see the same again */
export function assertAuditClean({ missing, doubled, strays }: Audited, hint: string): void {
  assert.deepEqual({ missing, doubled, strays }, { missing: 0, doubled: 0, strays: 0 }, hint);
}
