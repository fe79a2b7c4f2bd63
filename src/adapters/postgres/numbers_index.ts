/**
 * Builds the index by which the audit finds the rows of some numbers. Rows come in the order of
 * their numbers, so that a summary of every few pages is enough: it takes next to nothing from a
 * flush (docs/audit_results.md). The audit is right without it, by reading the whole table.
 */
import type { Connections } from "./connections.ts";

export const NUMBERS_INDEX = "dsproxy_user_data_numbers";

export function createNumbersIndex(schema: string): string {
  return `create index concurrently if not exists ${NUMBERS_INDEX} on ${schema}.user_data ` +
    "using brin (dsproxy_instance, dsproxy_seq) with (pages_per_range = 16, autosummarize = on)";
}
