/** Knows what PostgreSQL says of a failure, as far as anything depends on it. */

/**
 * These failures are not the row's, and pass by themselves or when somebody mends the server:
 * connection, conflict, resources, operator, system, a lock not had in time, a read-only server,
 * damaged storage.
 */
export const MAY_PASS_PATTERN = "^(08|40|53|57|58)|^(55P03|25006|XX001|XX002)$";
const MAY_PASS = new RegExp(MAY_PASS_PATTERN);

export const INSUFFICIENT_PRIVILEGE = "42501";

/**
 * Returns the SQLSTATE; undefined when the word is not PostgreSQL's own, but that of the driver,
 * the network or a deadline.
 */
export function sqlStateOf(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown };
  return typeof code === "string" && typeof severity === "string" && /^[0-9A-Z]{5}$/.test(code)
    ? code
    : undefined;
}

/** Returns true when the database answers, and would answer the same again. */
export function isRefusal(error: unknown): error is Error & { readonly code: string } {
  const state = sqlStateOf(error);
  return state !== undefined && !MAY_PASS.test(state);
}

/** Returns true when a table, column, schema or database of ours is not there, or not as it was. */
export function isSchemaGone(error: unknown): boolean {
  return /^(42P01|42703|3F000|3D000)$/.test(sqlStateOf(error) ?? "");
}

/** Returns true when somebody else had a lock for too long. */
export function isLockTimeout(error: unknown): boolean {
  return sqlStateOf(error) === "55P03";
}
