/** At `/admin/audit` the numbers of every source are held against what the database has of them. */
import type { Auditor } from "../../cluster/auditor.ts";
import type { AuditReport } from "../../cluster/auditing.ts";
import { AppError } from "../../errors.ts";
import type { Interval } from "../../ports/group_store.ts";
import type { Log } from "../../telemetry/log.ts";
import { ActionLog } from "../action_log.ts";
import type { Handler } from "../handler.ts";
import { parseQuery } from "../query.ts";
import { answerStoreFault } from "./store_faults.ts";

/** So many numbers are compared before they are accepted, which has to end in time. */
const ACCEPTED_MAX = 10_000_000;
export const REASON_MAX = 500;

export interface AuditHandlers {
  readonly showAudit: Handler;
  readonly acceptGap: Handler;
}

export interface AuditPage extends Omit<AuditReport, "cannotKnow" | "tookMs"> {
  readonly cannot_know: readonly string[];
  readonly took_ms: number;
}

/** @param auditor is undefined for a store that cannot be audited */
export function auditHandlers(
  auditor: Pick<Auditor, "report" | "accept"> | undefined,
  log: Pick<Log, "info">,
): AuditHandlers {
  const actions = new ActionLog(log);
  const askable = () => {
    if (auditor !== undefined) return auditor;
    throw new AppError("no-such-path", "The store that is configured cannot be audited.");
  };
  return {
    showAudit: async () => {
      const { cannotKnow, tookMs, ...rest } = await fromStore(askable().report());
      const page: AuditPage = { ...rest, cannot_know: cannotKnow, took_ms: Math.round(tookMs) };
      return Response.json(page);
    },
    acceptGap: async (context) => {
      const parameters = parseQuery(context.query);
      const source = parseText(parameters, "source", 200);
      const gap = parseGap(parameters);
      const reason = parseText(parameters, "reason", REASON_MAX);
      const accepted = await fromStore(askable().accept(source, gap, reason));
      if (accepted === 0) {
        throw new AppError(
          "nothing-missing",
          `No number from ${gap.first} through ${gap.last} of ${JSON.stringify(source)} is ` +
            "missing; perhaps it has been accepted.",
        );
      }
      actions.note(context, "audit accept", { source, ...gap, accepted });
      return Response.json({ source, ...gap, accepted });
    },
  };
}

async function fromStore<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    return answerStoreFault(
      error,
      "What is audited is in the database, which cannot be asked now. Try again.",
    );
  }
}

function parseText(parameters: Map<string, string>, name: string, most: number): string {
  const text = parameters.get(name)?.trim() ?? "";
  // PostgreSQL has no NUL in a text.
  if (text !== "" && text.length <= most && !text.includes("\0")) return text;
  throw new AppError("invalid-parameter", `${name} must be a text of 1 to ${most} characters.`);
}

function parseGap(parameters: Map<string, string>): Interval {
  const first = parseNumber(parameters, "first");
  const last = parameters.has("last") ? parseNumber(parameters, "last") : first;
  if (first <= last && last - first < ACCEPTED_MAX) return { first, last };
  throw new AppError(
    "invalid-parameter",
    `last=${last} must not be below first=${first}, and ${ACCEPTED_MAX} numbers at most are ` +
      "accepted at once.",
  );
}

function parseNumber(parameters: Map<string, string>, name: string): number {
  const text = parameters.get(name) ?? "";
  const number = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && Number.isSafeInteger(number)) return number;
  throw new AppError(
    "invalid-parameter",
    `${name}=${text.slice(0, 32)} must be the number of a write, from 1.`,
  );
}
