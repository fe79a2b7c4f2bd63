/** Finds options that are each in order, and not together. */
import type { OptionName, Values } from "./options.ts";

interface Contradiction {
  readonly variable: OptionName;
  readonly message: string;
}

/**
 * @param values those that could be read
 * @param textOf what the user wrote, for the messages
 */
export function contradictions(
  values: Partial<Values>,
  textOf: (name: OptionName) => string | undefined,
): Contradiction[] {
  const problems: Contradiction[] = [];
  const { BATCH_SIZE = 0, BATCH_MAX = Infinity } = values;
  if (BATCH_SIZE > BATCH_MAX) {
    const message =
      `${BATCH_SIZE} is more than BATCH_MAX=${BATCH_MAX}: lower it, or raise BATCH_MAX.`;
    problems.push({ variable: "BATCH_SIZE", message });
  }
  const { DB_HOST: { length: hosts } = [], DB_PORT: { length: ports } = [] } = values;
  if (ports > 1 && ports !== hosts) {
    const given = `${ports} ports for ${hosts} ${hosts === 1 ? "host" : "hosts"}`;
    problems.push({ variable: "DB_PORT", message: `${given}: give one for all, or one for each.` });
  }
  const { JOURNAL_MAX_BYTES = Infinity, MAX_BODY_BYTES = 0 } = values;
  if (JOURNAL_MAX_BYTES < 4 * MAX_BODY_BYTES) {
    const message = `${textOf("JOURNAL_MAX_BYTES")} is less than 4 × MAX_BODY_BYTES=` +
      `${textOf("MAX_BODY_BYTES")}: raise it, or lower the other.`;
    problems.push({ variable: "JOURNAL_MAX_BYTES", message });
  }
  return problems;
}
