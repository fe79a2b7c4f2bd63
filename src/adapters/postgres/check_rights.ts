/**
 * Reads, for the check, which rights the role has on tables that a write seldom needs: a trial of
 * each would say no more, and the service would stumble over one only when that day comes.
 */
import type { Catalogue } from "./catalogue.ts";
import type { Finding } from "./check_catalogue.ts";
import { createApplied } from "./ddl.ts";
import type { Session } from "./session.ts";

const NEEDED: Readonly<Record<string, readonly string[]>> = {
  dsproxy_gone: ["select", "insert", "update"],
  dsproxy_audit_notes: ["select", "insert", "update"],
};
/** It is made with the first group that a worker brings. */
const APPLIED = "dsproxy_applied";

/** @param hasGroups entries come by a broker */
export async function rightsFindings(
  session: Session,
  catalogue: Catalogue,
  hasGroups: boolean,
): Promise<Finding[]> {
  const needed = { ...NEEDED, ...(hasGroups && { [APPLIED]: ["select", "insert", "delete"] }) };
  const findings: Finding[] = [];
  for (const [table, privileges] of Object.entries(needed)) {
    findings.push(...await findingsOf(session, catalogue, table, privileges));
  }
  return findings;
}

async function findingsOf(
  session: Session,
  { role, schema, mayCreate }: Catalogue,
  table: string,
  privileges: readonly string[],
): Promise<Finding[]> {
  const { rows } = await session.query<{ privilege: string; granted: boolean | null }>(
    `select privilege, has_table_privilege(to_regclass($1), privilege) as granted
     from unnest($2::text[]) as privilege`,
    [table, privileges],
  );
  if (rows[0]?.granted === null) {
    if (mayCreate || table !== APPLIED) return [];
    return [{
      problem:
        `The role ${role} may not create the table ${APPLIED}, which workers need: let its ` +
        `owner or a superuser run this: ${createApplied(schema!)};`,
    }];
  }
  return rows.filter(({ granted }) => !granted).map(({ privilege }) => ({
    problem:
      `The role ${role} has no right to ${privilege} on ${table}, which the service needs: ` +
      `grant ${privilege} on ${schema}.${table} to ${role}.`,
  }));
}
