/**
 * `dsproxy dead-letters …` has the instance that runs on this machine handle the rows that the
 * database refused.
 */
import { parseWriteId } from "../domain.ts";
import { reasonOf } from "../errors.ts";
import { PAGE_LETTERS } from "../http/handlers/dead_letters.ts";
import { ask } from "./ask.ts";
import type { CallInstance } from "./instance_client.ts";

export const DEAD_LETTERS_USAGE = `\
  dsproxy dead-letters list [AFTER]          the oldest ${PAGE_LETTERS}; AFTER continues a listing
  dsproxy dead-letters show ID               one, with its value, as JSON
  dsproxy dead-letters replay ID…|--all      insert again what was accepted; twice is harmless
  dsproxy dead-letters discard ID…|--all     delete for good
`;

export type DeadLettersRequest =
  | { readonly action: "list"; readonly after: string | undefined }
  | { readonly action: "show"; readonly id: string }
  | { readonly action: "replay" | "discard"; readonly ids: readonly string[] | "all" };

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

/** @param all whether `--all` was there */
export function parseDeadLettersRequest(
  [action, ...operands]: readonly string[],
  all: boolean,
): DeadLettersRequest | { error: string } {
  const [first] = operands;
  if (action === "list" && operands.length <= 1 && !all) return { action, after: first };
  if (action === "show" || action === "replay" || action === "discard") {
    const strange = operands.find((id) => parseWriteId(id) === undefined);
    if (strange !== undefined) {
      const what = JSON.stringify(strange);
      return { error: `dsproxy: ${what} is not a write id such as 0123456789ab-42.` };
    }
    if (action === "show") {
      if (operands.length === 1 && !all) return { action, id: first! };
    } else if (all !== (operands.length > 0)) {
      return { action, ids: all ? "all" : operands };
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
): Promise<{ ok: boolean; message: string }> {
  try {
    switch (request.action) {
      case "list":
        return { ok: true, message: describePage(await listPage(call, request.after)) };
      case "show":
        return { ok: true, message: await ask(call, "GET", `${ROUTE}/${request.id}`) };
      case "replay":
      case "discard":
        return await settleAll(call, request.action, request.ids);
    }
  } catch (error) {
    return { ok: false, message: `dsproxy: ${reasonOf(error)}` };
  }
}

async function settleAll(
  call: CallInstance,
  action: "replay" | "discard",
  ids: readonly string[] | "all",
) {
  const failures: string[] = [];
  let done = 0;
  for await (const id of ids === "all" ? everyId(call) : ids) {
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

async function* everyId(call: CallInstance): AsyncGenerator<string> {
  let after: string | undefined;
  do {
    // The cursor goes on past what was dealt with and past what stays, so that each is met once.
    const page = await listPage(call, after);
    for (const { id } of page.dead_letters) yield id;
    after = page.next ?? undefined;
  } while (after !== undefined);
}

async function listPage(call: CallInstance, after: string | undefined): Promise<Page> {
  const cursor = after === undefined ? "" : `&after=${encodeURIComponent(after)}`;
  return JSON.parse(await ask(call, "GET", `${ROUTE}?limit=${PAGE_LETTERS}${cursor}`)) as Page;
}

function describePage({ dead_letters, next }: Page): string {
  if (dead_letters.length === 0) return "No dead letters.";
  // They are shown as JSON, because a user id or a message may hold what a terminal would obey.
  const lines = dead_letters.map(({ id, user_id, code, message, attempts, failed_at }) =>
    `${id}  ${failed_at}  attempts ${attempts}  ${code}  user ${JSON.stringify(user_id)}  ${
      JSON.stringify(message)
    }`
  );
  if (next !== null) lines.push(`More: dsproxy dead-letters list ${next}`);
  return lines.join("\n");
}
