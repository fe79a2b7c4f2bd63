/** Has the instance replay or discard all dead letters of a filter, step by step. */
import { ask } from "./ask.ts";
import { type FilterFlags, isFiltered, queryOf } from "./dead_letter_filter.ts";
import type { CallInstance } from "./instance_client.ts";
import type { Person } from "./person.ts";

export interface SweepRequest {
  readonly action: "replay" | "discard";
  /** Without any of these it means all of them. */
  readonly filter: FilterFlags;
  /** It was confirmed with the command. */
  readonly yes: boolean;
}

/** The admin routes answer so. */
interface Counted {
  readonly count: number;
  readonly reasons: readonly { readonly code: string; readonly count: number }[];
}

interface Step {
  readonly done: number;
  readonly refused: number;
  readonly next: string | null;
}

const ROUTE = "/admin/dead-letters";

export async function countLetters(call: CallInstance, filter: FilterFlags): Promise<Counted> {
  return JSON.parse(await ask(call, "GET", `${ROUTE}/count${queryOf(filter)}`)) as Counted;
}

export function describeCount({ count, reasons }: Counted): string {
  const shown = reasons.reduce((sum, { count }) => sum + count, 0);
  const rest = shown < count ? [`other codes: ${count - shown}`] : [];
  const list = [...reasons.map(({ code, count }) => `${code}: ${count}`), ...rest];
  const letters = `${count} dead letter${count === 1 ? "" : "s"}`;
  return list.length === 0 ? letters : `${letters} (${list.join(", ")})`;
}

/**
 * What is discarded is gone for good: a person sees how many, and confirms that number; the instance
 * refuses if there are others by then.
 */
export async function sweepLetters(
  call: CallInstance,
  { action, filter, yes }: SweepRequest,
  person: Person,
): Promise<{ ok: boolean; message: string }> {
  const counted = await countLetters(call, filter);
  const { count } = counted;
  if (action === "discard" && count > 0 && !yes) {
    const found = describeCount(counted);
    if (!person.isThere) {
      return {
        ok: false,
        message: `dsproxy: this would discard ${found} for good. Say --yes to have it done.`,
      };
    }
    if (!person.confirm(`Discard ${found} for good?`)) {
      return { ok: false, message: "Nothing was discarded." };
    }
  }
  const { done, refused } = await takeSteps(call, action, filter, count);
  const outcome = action === "replay" ? "replayed" : "discarded";
  const hint = refused === 0 ? [] : ["dsproxy dead-letters list says why these were refused."];
  return { ok: refused === 0, message: [`${done} ${outcome}, ${refused} not`, ...hint].join("\n") };
}

async function takeSteps(
  call: CallInstance,
  action: SweepRequest["action"],
  filter: FilterFlags,
  expect: number,
): Promise<{ done: number; refused: number }> {
  const all = isFiltered(filter) ? undefined : "true";
  let [done, refused] = [0, 0];
  let after: string | undefined;
  do {
    const query = queryOf(filter, { all, expect: after === undefined ? expect : undefined, after });
    const step = JSON.parse(await ask(call, "POST", `${ROUTE}/${action}${query}`)) as Step;
    done += step.done;
    refused += step.refused;
    after = step.next ?? undefined;
  } while (after !== undefined);
  return { done, refused };
}
