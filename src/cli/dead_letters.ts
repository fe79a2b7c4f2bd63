/**
 * `dsproxy dead-letters …` has the instance that runs on this machine handle the rows that the
 * database refused.
 */
import { parseWriteId } from "../domain.ts";
import { reasonOf } from "../errors.ts";
import { PAGE_LETTERS } from "../http/handlers/dead_letters.ts";
import { ask } from "./ask.ts";
import { type FilterFlags, isFiltered, queryOf } from "./dead_letter_filter.ts";
import {
  countLetters,
  describeCount,
  sweepLetters,
  type SweepRequest,
} from "./dead_letter_sweeps.ts";
import type { CallInstance } from "./instance_client.ts";
import type { Person } from "./person.ts";

export const DEAD_LETTERS_USAGE = `\
  dsproxy dead-letters list [AFTER]          the first ${PAGE_LETTERS}; AFTER continues a listing
  dsproxy dead-letters count                 how many there are, and why
  dsproxy dead-letters show ID               one, with its value, as JSON
  dsproxy dead-letters replay ID…|--all      insert again what was accepted; twice is harmless
  dsproxy dead-letters discard ID…|--all     delete for good; --all asks first, unless --yes is there
    in place of --all, and for list and count, some of them: --user ID, --code CODE, and by the time
    of their first refusal --from TIME and --until TIME (2026-01-31T12:00:00Z, or Unix seconds)
`;

export type DeadLettersRequest =
  | { readonly action: "list"; readonly after: string | undefined; readonly filter: FilterFlags }
  | { readonly action: "count"; readonly filter: FilterFlags }
  | { readonly action: "show"; readonly id: string }
  | { readonly action: "replay" | "discard"; readonly ids: readonly string[] }
  | SweepRequest;

/** Those of the command line that belong to dead-letters. */
export interface LetterFlags extends FilterFlags {
  readonly all?: boolean;
  readonly yes?: boolean;
}

/** The admin API lists them so. */
interface Letter {
  readonly id: string;
  readonly user_id: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly failed_at: string;
}

interface Page {
  readonly dead_letters: readonly Letter[];
  readonly next: string | null;
}

const ROUTE = "/admin/dead-letters";

export function parseDeadLettersRequest(
  [action, ...operands]: readonly string[],
  { all = false, yes = false, ...filter }: LetterFlags,
): DeadLettersRequest | { error: string } {
  const [first] = operands;
  const someFlag = all || yes;
  if (action === "list" && operands.length <= 1 && !someFlag) {
    return { action, after: first, filter };
  }
  if (action === "count" && operands.length === 0 && !someFlag) return { action, filter };
  if (action === "show" || action === "replay" || action === "discard") {
    const strange = operands.find((id) => parseWriteId(id) === undefined);
    if (strange !== undefined) {
      const what = JSON.stringify(strange);
      return { error: `dsproxy: ${what} is not a write id such as 0123456789ab-42.` };
    }
    const ways = [operands.length > 0, all, isFiltered(filter)].filter(Boolean).length;
    if (ways === 1) {
      if (action === "show") {
        if (operands.length === 1 && !someFlag) return { action, id: first! };
      } else if (operands.length === 0) {
        if (action === "discard" || !yes) return { action, filter, yes };
      } else if (!yes) return { action, ids: operands };
    }
  }
  return {
    error: `dsproxy: dead-letters is used so:\n${DEAD_LETTERS_USAGE}See also dsproxy --help.`,
  };
}

/** `ok` is false when something asked for was not done; `message` then says what. */
export async function runDeadLetters(
  request: DeadLettersRequest,
  call: CallInstance,
  person: Person,
): Promise<{ ok: boolean; message: string }> {
  try {
    switch (request.action) {
      case "list":
        return { ok: true, message: describePage(await listPage(call, request), request.filter) };
      case "count":
        return { ok: true, message: describeCount(await countLetters(call, request.filter)) };
      case "show":
        return { ok: true, message: await ask(call, "GET", `${ROUTE}/${request.id}`) };
      case "replay":
      case "discard":
        return "ids" in request
          ? await settleEach(call, request.action, request.ids)
          : await sweepLetters(call, request, person);
    }
  } catch (error) {
    return { ok: false, message: `dsproxy: ${reasonOf(error)}` };
  }
}

async function settleEach(
  call: CallInstance,
  action: "replay" | "discard",
  ids: readonly string[],
) {
  const failures: string[] = [];
  let done = 0;
  for (const id of ids) {
    try {
      if (action === "replay") await ask(call, "POST", `${ROUTE}/${id}/replay`);
      else await ask(call, "DELETE", `${ROUTE}/${id}`);
      done++;
    } catch (error) {
      failures.push(`${id}: ${reasonOf(error)}`);
    }
  }
  const outcome = action === "replay" ? "replayed" : "discarded";
  const summary = `${done} ${outcome}, ${failures.length} not`;
  return { ok: failures.length === 0, message: [...failures, summary].join("\n") };
}

async function listPage(
  call: CallInstance,
  { after, filter }: Extract<DeadLettersRequest, { action: "list" }>,
): Promise<Page> {
  const query = queryOf(filter, { limit: PAGE_LETTERS, after });
  return JSON.parse(await ask(call, "GET", `${ROUTE}${query}`)) as Page;
}

function describePage({ dead_letters, next }: Page, filter: FilterFlags): string {
  if (dead_letters.length === 0) return "No dead letters.";
  // They are shown as JSON, because a user id or a message may hold what a terminal would obey.
  const lines = dead_letters.map(({ id, user_id, code, message, attempts, failed_at }) =>
    `${id}  ${failed_at}  attempts ${attempts}  ${code}  user ${JSON.stringify(user_id)}  ${
      JSON.stringify(message)
    }`
  );
  const same = isFiltered(filter) ? ", with the same flags" : "";
  if (next !== null) lines.push(`More: dsproxy dead-letters list ${next}${same}`);
  return lines.join("\n");
}
