/** Writes a filter of dead letters as a condition in SQL. */
import type { LetterFilter } from "../../ports/dead_letters.ts";

/**
 * Returns the condition, whose parameters {@link filterParameters} gives.
 * @param first the number of the first of its four parameters
 */
export function filterCondition(first: number): string {
  const [user, code, from, until] = [0, 1, 2, 3].map((i) => `$${first + i}`);
  return `(${user}::text is null or user_id = ${user})
    and (${code}::text is null or code = ${code})
    and (${from}::float8 is null or failed_at >= to_timestamp(${from} / 1000))
    and (${until}::float8 is null or failed_at < to_timestamp(${until} / 1000))`;
}

export function filterParameters(
  { userId, code, fromMs, untilMs }: LetterFilter,
): readonly (string | number | null)[] {
  return [userId ?? null, code ?? null, fromMs ?? null, untilMs ?? null];
}
