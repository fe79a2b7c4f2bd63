/**
 * Counts, replays and discards the dead letters that a filter means. A sweep is done in steps, each
 * a call: the first one fixes what it is about, so that what a person saw counted is what is dealt
 * with, whatever comes meanwhile.
 */
import { AppError } from "../../errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LetterPlace } from "../../ports/dead_letter_retries.ts";
import type { DeadLetterSweeps, Swept } from "../../ports/dead_letter_sweeps.ts";
import type { DeadLetters, LetterFilter } from "../../ports/dead_letters.ts";
import type { CacheClient } from "../../reading/cache_client.ts";
import type { Log } from "../../telemetry/log.ts";
import { ActionLog } from "../action_log.ts";
import { BodyReader } from "../body.ts";
import type { Handler, RequestContext } from "../handler.ts";
import { parseJson } from "../json.ts";
import { FILTER_PARAMETERS, parseFilter, requireKnown } from "../letter_filter.ts";
import { parseQuery } from "../query.ts";
import { answerStoreFault } from "./store_faults.ts";

/** One step deals with so many at most: it takes the database a fraction of a second. */
export const SWEEP_STEP_MAX = 500;
/** More reasons than a person reads. */
const REASONS_MAX = 20;
/** The longest user id that can be configured fits, escaped. */
const BODY_BYTES_MAX = 512 * 1024;
const STEP_PARAMETERS = [...FILTER_PARAMETERS, "all", "expect", "limit", "after"];

export interface DeadLetterSweepHandlers {
  readonly countDeadLetters: Handler;
  readonly replayMany: Handler;
  readonly discardMany: Handler;
}

interface Parts {
  readonly deadLetters: Pick<DeadLetters, "survey">;
  readonly sweeps: DeadLetterSweeps;
  /** Users whose newest row may now be another one are forgotten there. */
  readonly cache: Pick<CacheClient, "forget">;
  readonly clock: Pick<Clock, "monotonicMs" | "setTimeout">;
  readonly log: Pick<Log, "info">;
}

type Action = "replay" | "discard";

/** It is what the steps of one sweep have in common, and how far they are. */
interface Progress {
  /** So many are not dealt with. */
  readonly left: number;
  readonly untilMs: number;
  readonly from: LetterPlace | undefined;
}

export function deadLetterSweepHandlers(parts: Parts): DeadLetterSweepHandlers {
  const { deadLetters } = parts;
  const bodies = new BodyReader(BODY_BYTES_MAX, parts.clock);
  const actions = new ActionLog(parts.log);
  const step = (action: Action): Handler => async (context) => {
    const parameters = await readParameters(context, bodies);
    const filter = parseFilter(parameters);
    const limit = parseWhole(parameters, "limit", 1, SWEEP_STEP_MAX) ?? SWEEP_STEP_MAX;
    const before = parseProgress(parameters.get("after")) ??
      await begin(deadLetters, filter, parseWhole(parameters, "expect", 0, 1e15));
    const { done, refused, next } = await sweep(parts.sweeps, action, filter, limit, before);
    const left = Math.max(0, before.left - done.length - refused);
    const goesOn = next !== undefined && left > 0;
    const remaining = goesOn ? left : 0;
    if (done.length + refused > 0) {
      const told = { done: done.length, refused, remaining, ...toldOf(filter) };
      actions.note(context, `dead-letters ${action}`, told);
    }
    if (action === "replay") await parts.cache.forget(done);
    return Response.json({
      done: done.length,
      refused,
      remaining,
      next: goesOn ? progressText({ ...before, left, from: next }) : null,
    });
  };
  return {
    countDeadLetters: async ({ query }) => {
      const parameters = parseQuery(query);
      requireKnown(parameters, FILTER_PARAMETERS);
      const filter = parseFilter(parameters);
      const { count, reasons } = await fromStore(deadLetters.survey(filter, REASONS_MAX));
      return Response.json({ count, reasons });
    },
    replayMany: step("replay"),
    discardMany: step("discard"),
  };
}

/** @throws AppError `count-changed` when the filter does not find as many as were expected */
async function begin(
  deadLetters: Pick<DeadLetters, "survey">,
  filter: LetterFilter,
  expected: number | undefined,
): Promise<Progress> {
  const { count, untilMs } = await fromStore(deadLetters.survey(filter, 0));
  if (expected !== undefined && expected !== count) {
    throw new AppError(
      "count-changed",
      `The filter finds ${count} dead letters, and not the ${expected} that were expected. ` +
        "Nothing was changed. Look at them again, and confirm that number.",
      { members: { count } },
    );
  }
  return { left: count, untilMs, from: undefined };
}

async function sweep(
  sweeps: DeadLetterSweeps,
  action: Action,
  filter: LetterFilter,
  limit: number,
  { left, untilMs, from }: Progress,
): Promise<Swept> {
  if (left === 0) return { done: [], refused: 0 };
  const fixed = { ...filter, untilMs: Math.min(untilMs, filter.untilMs ?? Infinity) };
  const most = Math.min(limit, left);
  return await fromStore(
    action === "discard"
      ? sweeps.discardSome(fixed, most, from)
      : sweeps.replaySome(fixed, most, from),
  );
}

async function fromStore<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    return answerStoreFault(
      error,
      "The dead letters are in the database, which cannot be asked now. Try again: what is done " +
        "is done once.",
    );
  }
}

/** They come in the query, or as a JSON object in the body: that stands in no log of a proxy. */
async function readParameters(
  { request, query }: RequestContext,
  bodies: BodyReader,
): Promise<ReadonlyMap<string, string>> {
  const bytes = await bodies.read(request);
  let parameters = parseQuery(query);
  if (bytes.length > 0) {
    if (parameters.size > 0) {
      throw new AppError("invalid-parameter", "Say it in the query or in the body, not in both.");
    }
    parameters = parametersOf(parseJson(bytes));
  }
  requireKnown(parameters, STEP_PARAMETERS);
  requireMeant(parameters);
  return parameters;
}

function parametersOf(json: unknown): Map<string, string> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new AppError("invalid-parameter", "The body must be a JSON object.");
  }
  return new Map(
    Object.entries(json).map(([name, value]: [string, unknown]) => {
      if (typeof value === "string" || typeof value === "number" || value === true) {
        return [name, String(value)];
      }
      throw new AppError("invalid-parameter", `${name.slice(0, 32)} has no value of use here.`);
    }),
  );
}

/** Whoever means all of them says so: a filter that was forgotten must not mean that. */
function requireMeant(parameters: ReadonlyMap<string, string>): void {
  const isFiltered = FILTER_PARAMETERS.some((name) => parameters.has(name));
  const all = parameters.get("all");
  if (all !== undefined && all !== "true") {
    throw new AppError("invalid-parameter", "all can be true, or left out.");
  }
  if (isFiltered === (all !== undefined)) {
    throw new AppError(
      "invalid-parameter",
      isFiltered
        ? "all=true means every dead letter: leave it out, or the filter."
        : `Say which ones by ${FILTER_PARAMETERS.join(", ")}, or all=true.`,
    );
  }
}

function parseWhole(
  parameters: ReadonlyMap<string, string>,
  name: string,
  least: number,
  most: number,
): number | undefined {
  const text = parameters.get(name);
  if (text === undefined) return undefined;
  const number = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw new AppError(
    "invalid-parameter",
    `${name}=${text.slice(0, 32)} must be a whole number from ${least} to ${most}.`,
  );
}

function progressText({ left, untilMs, from }: Progress): string {
  return `${left}.${untilMs}.${from!.seq}.${from!.source}`;
}

function parseProgress(text: string | undefined): Progress | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,15})\.(\d{1,15})\.(\d{1,16})\.([\x20-\x7e]{1,200})$/.exec(text);
  if (match === null) {
    throw new AppError("invalid-parameter", "after must be the `next` of the step before.");
  }
  const [left, untilMs, seq] = match.slice(1, 4).map(Number) as [number, number, number];
  return { left, untilMs, from: { source: match[4]!, seq } };
}

/** The log has no user id. */
function toldOf({ userId, code, fromMs, untilMs }: LetterFilter) {
  return {
    ...(userId !== undefined && { ofOneUser: true }),
    ...(code !== undefined && { code }),
    ...(fromMs !== undefined && { from: new Date(fromMs).toISOString() }),
    ...(untilMs !== undefined && { until: new Date(untilMs).toISOString() }),
  };
}
