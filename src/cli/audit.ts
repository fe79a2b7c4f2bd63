/**
 * `dsproxy audit` has the instance that runs on this machine hold the numbers of all writes against
 * the database, and writes what it found for people.
 */
import { parseWriteId } from "../domain.ts";
import { reasonOf } from "../errors.ts";
import { type AuditPage, REASON_MAX } from "../http/handlers/audit.ts";
import { ask } from "./ask.ts";
import type { CallInstance } from "./instance_client.ts";

/** The whole table is read once, and what does not agree a few times. */
export const AUDIT_LIMIT_MS = 30 * 60_000;
/** Something is missing, doubled, or accounted for by no mark. */
export const EXIT_FOUND = 2;

export const AUDIT_USAGE = `\
  dsproxy audit [--json]                     what is missing or doubled; ends with ${EXIT_FOUND} then
  dsproxy audit accept ID[..LAST] --reason TEXT
                                             call missing numbers accounted for, as you know why
`;

export type AuditRequest =
  | { readonly action: "show"; readonly json: boolean }
  | {
    readonly action: "accept";
    readonly source: string;
    readonly first: number;
    readonly last: number;
    readonly reason: string;
  };

interface AuditFlags {
  readonly json?: boolean | undefined;
  readonly reason?: string | undefined;
}

export function parseAuditRequest(
  [action, ...operands]: readonly string[],
  { json = false, reason }: AuditFlags,
): AuditRequest | { error: string } {
  if (action === undefined && reason === undefined) return { action: "show", json };
  if (action === "accept" && operands.length === 1 && !json) {
    const [, id = "", last] = /^(.*?)(?:\.\.(\d{1,15}))?$/.exec(operands[0]!) ?? [];
    const place = parseWriteId(id);
    const through = last === undefined ? place?.seq : Number(last);
    if (place === undefined || through === undefined || through < place.seq) {
      const what = JSON.stringify(operands[0]);
      return {
        error: `dsproxy: ${what} is not a write id such as 0123456789ab-42, ` +
          "nor a range of them such as 0123456789ab-42..44.",
      };
    }
    if (reason !== undefined && reason.trim() !== "" && reason.length <= REASON_MAX) {
      return { action, source: place.run, first: place.seq, last: through, reason };
    }
    return { error: `dsproxy: --reason must say in 1 to ${REASON_MAX} characters why.` };
  }
  return { error: `dsproxy: audit is used so:\n${AUDIT_USAGE}See also dsproxy --help.` };
}

/** `exitCode` is there when it worked, and something was found. */
export async function runAudit(
  request: AuditRequest,
  call: CallInstance,
): Promise<{ ok: boolean; message: string; exitCode?: number }> {
  try {
    if (request.action === "show") return await show(request.json, call);
    const { action: _, ...parameters } = request;
    const query = Object.entries(parameters).map(([name, value]) =>
      `${name}=${encodeURIComponent(value)}`
    );
    const text = await ask(call, "POST", `/admin/audit/accept?${query.join("&")}`);
    const { accepted } = JSON.parse(text) as { accepted: number };
    return { ok: true, message: `${count(accepted, "number")} accepted` };
  } catch (error) {
    return { ok: false, message: `dsproxy: ${reasonOf(error)}` };
  }
}

async function show(json: boolean, call: CallInstance) {
  const text = await ask(call, "GET", "/admin/audit");
  const page = JSON.parse(text) as AuditPage;
  const isClean = page.findings.length === 0 && page.complete;
  return {
    ok: true,
    message: json ? text : describeAudit(page),
    ...!isClean && { exitCode: EXIT_FOUND },
  };
}

export function describeAudit(page: AuditPage): string {
  const { totals, missing, doubled, strays, complete, findings, cannot_know } = page;
  const atLeast = complete ? "" : "at least ";
  const { rows, dead, retired, discarded, withdrawn, accepted } = totals;
  const lines = [
    `${count(totals.numbers, "number")} of ${count(totals.sources, "source")}: ` +
    `${atLeast}${missing} missing, ${doubled} doubled` +
    (strays > 0 ? `, ${strays} without a mark` : ""),
    `${rows} rows, ${dead} dead letters, ${retired} retired, ${discarded} discarded, ` +
    `${withdrawn} withdrawn, ${accepted} accepted`,
  ];
  for (const { source: name, missing, doubled, strays } of findings) {
    // Other programs may have written it, and a terminal would obey some of what it can hold.
    const source = /^[\w/.-]+$/.test(name) ? name : JSON.stringify(name);
    lines.push("", `${source}:`);
    for (const { first, last } of missing) {
      const many = last - first + 1;
      lines.push(`  missing  ${source}-${first}${many > 1 ? `..${last}  (${many})` : ""}`);
    }
    for (const { seq, times } of doubled) {
      lines.push(`  doubled  ${source}-${seq}  (${times} times)`);
    }
    for (const seq of strays) {
      lines.push(`  stray    ${source}-${seq}  (no mark accounts for it)`);
    }
  }
  if (!complete) lines.push("", "There is more: deal with these, and audit again.");
  if (strays > 0) {
    lines.push(
      "",
      "A stray is a row of a mark that went back or was deleted, or a row that somebody copied.",
    );
  }
  return [...lines, "", "What this cannot know:", ...cannot_know.map((it) => `- ${it}`)].join("\n");
}

function count(many: number, what: string): string {
  return `${many} ${what}${many === 1 ? "" : "s"}`;
}
