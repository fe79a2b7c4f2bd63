/**
 * Says what a database has against a row without the row: its own words can contain a value or a
 * user id, as a cast, a trigger or a check of JSON repeats what it was given. Log lines, spans and
 * answers to anybody but an administrator are made of these words.
 */

/** The names between quotes are those of tables, columns and constraints, of 63 bytes at most. */
const NAME = `"[^"]{1,63}"`;

/** The database says these of the table, whatever the row is. */
const SHAPES: readonly RegExp[] = [
  `null value in column ${NAME}( of relation ${NAME})? violates not-null constraint`,
  `new row for relation ${NAME} violates check constraint ${NAME}`,
  `duplicate key value violates unique constraint ${NAME}`,
  `conflicting key value violates exclusion constraint ${NAME}`,
  `insert or update on table ${NAME} violates foreign key constraint ${NAME}`,
  `new row violates row-level security policy( ${NAME})? for table ${NAME}`,
  `no partition of relation ${NAME} found for row`,
  `value too long for type [a-z ]+(\\(\\d+\\))?`,
  `index row (size \\d+ exceeds|requires \\d+ bytes, maximum size is \\d+)[a-z0-9 ]*(${NAME})?`,
  `permission denied for (table|schema|sequence|function|relation|database) \\S{1,63}`,
  `a trigger( or rule)? of user_data lets the row vanish`,
  `(NOT NULL|UNIQUE) constraint failed: [\\w., ]+`,
  `CHECK constraint failed: \\w+`,
  `FOREIGN KEY constraint failed`,
  `string or blob too big`,
].map((shape) => new RegExp(`^${shape}$`));

/** By the SQLSTATE, or its class where the state has no words of its own. */
const CONDITIONS: Readonly<Record<string, string>> = {
  "08": "the connection failed",
  "22": "a value does not fit its type",
  "23": "a constraint refuses it",
  "23502": "a not-null constraint refuses it",
  "23503": "a foreign key refuses it",
  "23505": "a unique constraint refuses it",
  "23514": "a check constraint refuses it",
  "23P01": "an exclusion constraint refuses it",
  "25006": "the server or the session is read-only",
  "40": "a conflict with another transaction",
  "40P01": "a deadlock",
  "42": "a table, column, function or right that it needs is not there",
  "42501": "a right or a policy refuses it",
  "53": "the server lacks resources",
  "53100": "the server's disk is full",
  "54": "a limit of the server is exceeded",
  "55P03": "a lock was not had in time",
  "57": "the server or an operator ended it",
  "P0": "a trigger or a function raised an exception",
};

/** Returns the database's words where nothing of a row can be in them, else what the code means. */
export function withoutValues(code: string, message: string): string {
  if (SHAPES.some((shape) => shape.test(message))) return message;
  return CONDITIONS[code] ?? CONDITIONS[code.slice(0, 2)] ?? "the database refuses it";
}

/** An error as PostgreSQL sends it: `where` is the chain of functions in which it was raised. */
interface ServerError {
  readonly message: string;
  readonly code?: string | undefined;
  readonly where?: string | undefined;
}

/** A cast of a value, a function, and whoever invents a code of their own, may repeat the row. */
const OUTSPOKEN = /^(22|P0|[^0-9PFHX])/;

/** Returns what the server says, if no function or trigger had a word in it. */
export function serverWords({ message, code = "", where = "" }: ServerError): string {
  const isOfRow = OUTSPOKEN.test(code) || !/^(COPY [^\n]*)?$/.test(where);
  return isOfRow ? `${withoutValues(code, message)} (${code})` : message;
}
