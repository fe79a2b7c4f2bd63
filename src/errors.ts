/**
 * The one error type that crosses module borders on purpose. Anything else that is thrown is a
 * defect.
 */

/** Stable slugs: part of the public contract (the `type` of a problem document), never renamed. */
export type ErrorCode =
  | "invalid-json"
  | "invalid-record"
  | "invalid-parameter"
  | "missing-user-id"
  | "invalid-host"
  | "user-not-found"
  | "write-not-found"
  | "dead-letter-not-found"
  | "replay-refused"
  | "admin-only"
  | "unauthorized"
  | "no-such-path"
  | "method-not-allowed"
  | "unsupported-media-type"
  | "body-too-large"
  | "body-timeout"
  | "cross-site-request"
  | "queue-full"
  | "journal-failed"
  | "store-unavailable"
  | "shutting-down"
  | "overloaded"
  | "not-ready"
  | "internal-error";

export class AppError extends Error {
  override readonly name = "AppError";

  /**
   * @param code which kind of failure; decides the HTTP status (table in `http/problem.ts`)
   * @param message for the person who called: what happened, with which value, what to do. Reaches
   *   clients.
   * @param options.cause the internal reason; logged, never sent to a client
   */
  constructor(readonly code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/**
 * The store takes the call but not the content: a constraint or a type of the database refuses a
 * row, and would again. Every other failure of a store is one that may pass.
 */
export class RejectedRowError extends Error {
  override readonly name = "RejectedRowError";

  /** @param code what the database calls it, such as the SQLSTATE 23514 */
  constructor(readonly code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/**
 * The store answers, and refuses whatever it is asked: no rights, a table that takes no row,
 * another database. Nothing gets better by itself, a person has to change something; until then
 * what waits is kept.
 */
export class StoreRefusesError extends Error {
  override readonly name = "StoreRefusesError";

  /** @param code what the database calls it, such as the SQLSTATE 42501 */
  constructor(readonly code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/**
 * The store no longer has what it had confirmed: an older backup was restored, or a replica that
 * was behind took over.
 */
export class StoreWentBackError extends Error {
  override readonly name = "StoreWentBackError";
}

/**
 * The cache did not take an update, and could not drop what it has either: of these users an older
 * copy may be read until it expires. One that could be dropped is no error.
 */
export class CacheStaleError extends Error {
  override readonly name = "CacheStaleError";

  constructor(readonly userIds: readonly string[], message: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/** A readable reason of anything thrown. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") {
    return error.errors.map(reasonOf).join("; ");
  }
  return error instanceof Error ? error.message : String(error);
}
