/** Reads which dead letters somebody means, strictly: a word that is not known would mean more. */
import { AppError } from "../errors.ts";
import type { LetterFilter } from "../ports/dead_letters.ts";

export const FILTER_PARAMETERS = ["user_id", "code", "from", "until"] as const;

/** A user id may be configured to be that long. */
const USER_ID_LENGTH_MAX = 65_536;
/** A SQLSTATE has five characters, and a name of SQLite some more. */
const CODE = /^[\x21-\x7e]{1,64}$/;
const UNIX_SECONDS = /^\d{1,11}(\.\d{1,3})?$/;
const ISO_TIME =
  /^(\d{4})-(\d{2})-(\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

/** @throws AppError `invalid-parameter` */
export function parseFilter(parameters: ReadonlyMap<string, string>): LetterFilter {
  const userId = parameters.get("user_id");
  const code = parameters.get("code");
  const [fromMs, untilMs] = [parseTime(parameters, "from"), parseTime(parameters, "until")];
  if (userId !== undefined && !isUserId(userId)) {
    throw new AppError("invalid-parameter", "user_id must be the id of a user, and not empty.");
  }
  if (code !== undefined && !CODE.test(code)) {
    throw new AppError(
      "invalid-parameter",
      `code=${code.slice(0, 32)} must be a code as the dead letters have it, such as 23514.`,
    );
  }
  if (fromMs !== undefined && untilMs !== undefined && fromMs >= untilMs) {
    throw new AppError("invalid-parameter", "until must be later than from.");
  }
  return {
    ...(userId !== undefined && { userId }),
    ...(code !== undefined && { code }),
    ...(fromMs !== undefined && { fromMs }),
    ...(untilMs !== undefined && { untilMs }),
  };
}

/** @throws AppError `invalid-parameter` for a name that is none of these */
export function requireKnown(
  parameters: ReadonlyMap<string, string>,
  names: readonly string[],
): void {
  for (const name of parameters.keys()) {
    if (names.includes(name)) continue;
    throw new AppError(
      "invalid-parameter",
      `${name.slice(0, 32)} is no parameter here; these are: ${names.join(", ")}.`,
    );
  }
}

/** PostgreSQL has no NUL in a text, and half a character is none. */
function isUserId(text: string): boolean {
  return text !== "" && text.length <= USER_ID_LENGTH_MAX && !text.includes("\0") &&
    text.isWellFormed();
}

function parseTime(parameters: ReadonlyMap<string, string>, name: string): number | undefined {
  const text = parameters.get(name);
  if (text === undefined) return undefined;
  const ms = UNIX_SECONDS.test(text) ? Number(text) * 1_000 : isoTimeMs(text);
  if (Number.isFinite(ms)) return ms;
  throw new AppError(
    "invalid-parameter",
    `${name}=${text.slice(0, 40)} must be a time such as 2026-01-31, 2026-01-31T12:00:00Z or ` +
      "1769860800, in Unix seconds. In a query the + of an offset is written %2B.",
  );
}

/** Returns NaN for what is no time; of a date it is the beginning, in UTC. */
function isoTimeMs(text: string): number {
  const match = ISO_TIME.exec(text);
  if (match === null) return NaN;
  const [year, month, day] = match.slice(1, 4).map(Number) as [number, number, number];
  // The runtime would take the 30th of February for a day in March.
  const isDay = new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day && month <= 12;
  return isDay ? Date.parse(text) : NaN;
}
