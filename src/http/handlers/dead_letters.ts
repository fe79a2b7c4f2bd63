/**
 * At `/admin/dead-letters` is what the database refused: to be looked at, tried again or thrown
 * away.
 */
import type { CacheClient } from "../../reading/cache_client.ts";
import { writeId } from "../../domain.ts";
import { AppError, RejectedRowError } from "../../errors.ts";
import { ActionLog } from "../action_log.ts";
import type { Handler } from "../handler.ts";
import { parseFilter } from "../letter_filter.ts";
import { parseQuery } from "../query.ts";
import type { DeadLetter, DeadLetters } from "../../ports/dead_letters.ts";
import type { Log } from "../../telemetry/log.ts";
import { answerStoreFault } from "./store_faults.ts";

/** A page has so many unless `limit` says otherwise: a person can read through them. */
export const PAGE_LETTERS = 100;
/** A page of so many is some megabytes with the longest user ids and messages. */
const MAX_PAGE_LETTERS = 1_000;

export interface DeadLetterHandlers {
  readonly listDeadLetters: Handler;
  readonly showDeadLetter: Handler;
  readonly replayDeadLetter: Handler;
  readonly discardDeadLetter: Handler;
}

/** @param cache to forget a user whose newest row may now be another one */
export function deadLetterHandlers(
  deadLetters: DeadLetters,
  cache: Pick<CacheClient, "forget">,
  log: Pick<Log, "info">,
): DeadLetterHandlers {
  const actions = new ActionLog(log);
  return {
    listDeadLetters: async ({ query }) => {
      const parameters = parseQuery(query);
      const limit = parseLimit(parameters.get("limit"));
      const after = parseCursor(parameters.get("after"));
      const letters = await fromStore(deadLetters.list(limit, after, parseFilter(parameters)));
      const last = letters.at(-1);
      const next = last === undefined || letters.length < limit ? null : cursorOf(last);
      return Response.json({ dead_letters: letters.map(summaryOf), next });
    },
    showDeadLetter: async ({ pathParameter: id }) => {
      const letter = await fromStore(deadLetters.find(id)) ?? notFound(id);
      return Response.json({ ...summaryOf(letter), value: letter.value });
    },
    replayDeadLetter: async (context) => {
      const id = context.pathParameter;
      const entry = await fromStore(deadLetters.replay(id)) ?? notFound(id);
      actions.note(context, "dead-letters replay", { id });
      await cache.forget([entry]);
      return Response.json({ id, outcome: "replayed" });
    },
    discardDeadLetter: async (context) => {
      const id = context.pathParameter;
      if (!await fromStore(deadLetters.discard(id))) notFound(id);
      actions.note(context, "dead-letters discard", { id });
      return Response.json({ id, outcome: "discarded" });
    },
  };
}

async function fromStore<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof RejectedRowError) {
      throw new AppError(
        "replay-refused",
        `The database refuses the row again (${error.code}: ${error.message}). It stays.`,
      );
    }
    return answerStoreFault(
      error,
      "The dead letters are in the database, which cannot be asked now. Try again.",
    );
  }
}

function notFound(id: string): never {
  throw new AppError(
    "dead-letter-not-found",
    `There is no dead letter ${JSON.stringify(id.slice(0, 64))}; perhaps it has been dealt with.`,
  );
}

function summaryOf(letter: DeadLetter) {
  const { userId, ts, code, message, attempts, failedAtMs, value } = letter;
  const failed_at = new Date(failedAtMs).toISOString();
  return {
    id: writeId(letter),
    user_id: userId,
    ts,
    value_length: value.length,
    code,
    message,
    attempts,
    failed_at,
  };
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return PAGE_LETTERS;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_PAGE_LETTERS) return limit;
  throw new AppError(
    "invalid-parameter",
    `limit=${text.slice(0, 32)} must be a whole number from 1 to ${MAX_PAGE_LETTERS}.`,
  );
}

function cursorOf({ source, seq }: DeadLetter): string {
  return `${seq}.${source}`;
}

function parseCursor(text: string | undefined): Pick<DeadLetter, "source" | "seq"> | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,16})\.([\x20-\x7e]{1,200})$/.exec(text);
  if (match === null) {
    throw new AppError("invalid-parameter", "after must be the `next` of the page before.");
  }
  return { seq: Number(match[1]), source: match[2]! };
}
