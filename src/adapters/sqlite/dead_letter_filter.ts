/** Writes a filter of dead letters as a condition in SQL; it runs in the worker (worker.ts). */
import type { LetterFilter } from "../../ports/dead_letters.ts";

interface Condition {
  readonly text: string;
  readonly parameters: readonly (string | number)[];
}

export function conditionOf({ userId, code, fromMs, untilMs }: LetterFilter): Condition {
  const wanted = [
    ["user_id = ?", userId],
    ["code = ?", code],
    ["failed_at_ms >= ?", fromMs],
    ["failed_at_ms < ?", untilMs],
  ] as const;
  const given = wanted.filter(([, value]) => value !== undefined);
  return {
    text: ["true", ...given.map(([condition]) => condition)].join(" and "),
    parameters: given.map(([, value]) => value!),
  };
}
