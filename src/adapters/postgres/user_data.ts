/**
 * Knows the table `user_data`: its columns, and how an entry becomes a row and a row an entry.
 * Whatever names more than one of its columns gets them from here.
 */
import type { Entry } from "../../domain.ts";

/**
 * These are the columns of the original, and those added to them: every one has a default, so that
 * others' INSERTs go on.
 */
export const COLUMNS = [
  { name: "user_id", type: "text", added: undefined },
  { name: "value", type: "text", added: undefined },
  { name: "ts", type: "bigint", added: undefined },
  { name: "dsproxy_accepted_ms", type: "bigint", added: "bigint not null default 0" },
  { name: "dsproxy_instance", type: "text", added: `text collate "C" not null default ''` },
  { name: "dsproxy_seq", type: "bigint", added: "bigint not null default 0" },
] as const;

/** They are in the order of {@link COLUMNS}, for an INSERT. */
export const COLUMN_NAMES = COLUMNS.map(({ name }) => name).join(", ");

/** There is one array for each column, as parameters of a statement. */
export const COLUMN_ARRAYS = COLUMNS.map(({ type }, i) => `$${i + 1}::${type}[]`);

/** It is the total order of a user's rows. An index has exactly these keys behind `user_id`. */
export const NEWEST_FIRST =
  "ts desc nulls last, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc";

/** They give a row the names of {@link EntryRow}. */
export const ENTRY_COLUMNS =
  "user_id, value, ts, dsproxy_accepted_ms as accepted_ms, dsproxy_instance as instance, " +
  "dsproxy_seq as seq";

/** Numbers come as text, as they may be larger than a number of 32 bits. */
export interface EntryRow {
  readonly user_id: string;
  readonly value: string;
  /** It is null in a row of another program. */
  readonly ts: string | null;
  readonly accepted_ms: string;
  readonly instance: string;
  readonly seq: string;
}

export function entryOf(row: EntryRow): Entry {
  return {
    userId: row.user_id,
    value: row.value,
    ts: Number(row.ts ?? 0),
    acceptedMs: Number(row.accepted_ms),
    run: row.instance,
    seq: Number(row.seq),
  };
}

/** Returns the arrays that {@link COLUMN_ARRAYS} stands for. */
export function columnsOf(entries: readonly Entry[]): readonly (readonly (string | number)[])[] {
  return [
    entries.map(({ userId }) => userId),
    entries.map(({ value }) => value),
    entries.map(({ ts }) => ts),
    entries.map(({ acceptedMs }) => acceptedMs),
    entries.map(({ run }) => run),
    entries.map(({ seq }) => seq),
  ];
}

/** Yields the entries as lines of a COPY in the text format, with columns as {@link COLUMNS}. */
export function* linesOf(entries: readonly Entry[]): Iterable<string> {
  for (const { userId, value, ts, acceptedMs, run, seq } of entries) {
    const version = `${ts}\t${acceptedMs}\t${escaped(run)}\t${seq}`;
    yield `${escaped(userId)}\t${escaped(value)}\t${version}\n`;
  }
}

const SPECIAL = /[\\\t\n\r]/;
const ALL_SPECIAL = /[\\\t\n\r]/g;
const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\t": "\\t",
  "\n": "\\n",
  "\r": "\\r",
};

/** All else stands for itself; with the backslash `\N`, which is null, and `\.`, the end, are text. */
function escaped(text: string): string {
  return SPECIAL.test(text) ? text.replace(ALL_SPECIAL, (special) => ESCAPES[special]!) : text;
}
