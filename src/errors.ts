/**
 * The errors that cross the borders of modules on purpose; everybody tells them apart by
 * `instanceof`. They are three families and one word about the cache:
 *
 * - {@link AppError}: what went wrong for the one who called over HTTP, by its code.
 * - {@link StoreError}: what a store has to say, whichever adapter it is. Four kinds: it failed,
 *   and that may pass ({@link StoreUnavailableError}, among them {@link StoreNotAskedError}); it
 *   refuses everything ({@link StoreRefusesError}) or one row ({@link RejectedRowError}); it lost
 *   what it had ({@link StoreWentBackError}).
 * - {@link BrokerError}: what a broker has to say: it is away ({@link BrokerUnavailableError}), or
 *   refuses what it is asked ({@link BrokerRefusesError}).
 * - {@link CacheStaleError}: what a cache could not undo. Every other failure of a cache is taken
 *   for a miss, so nobody asks what it was.
 * - {@link AnswerEndedError}: an answer that comes in pieces is not gone on with.
 *
 * Anything else that is thrown is a defect of ours: answered as `internal-error`, and logged.
 */

/**
 * These words are part of the public contract (the `type` of a problem document), so that none is
 * ever renamed.
 */
export type ErrorCode =
  | "invalid-json"
  | "invalid-record"
  | "invalid-parameter"
  | "missing-user-id"
  | "invalid-host"
  | "user-not-found"
  | "write-not-found"
  | "write-not-stored"
  | "dead-letter-not-found"
  | "replay-refused"
  | "count-changed"
  | "paused"
  | "nothing-missing"
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
  | "too-many-viewers"
  | "not-ready"
  | "internal-error";

export class AppError extends Error {
  override readonly name = "AppError";
  readonly members: Readonly<Record<string, number>>;

  /**
   * @param code which kind of failure; decides the HTTP status (table in `http/problem.ts`)
   * @param message for the person who called: what happened, with which value, what to do. Reaches
   *   clients.
   * @param options.cause the internal reason; logged, never sent to a client
   * @param options.members further members of the problem document, for programs
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
    { members = {}, ...options }: { cause?: unknown; members?: AppError["members"] } = {},
  ) {
    super(message, options);
    this.members = members;
  }
}

/** The store was asked, or should have been, and what was wanted of it did not come about. */
export abstract class StoreError extends Error {
  /** @param code what the database calls it, such as the SQLSTATE 23514; undefined if nothing */
  constructor(message: string, readonly code?: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

/**
 * The store gave no answer, or failed in a way that may pass by itself: no connection, no answer in
 * time, a conflict, a full disk. The same call may be made again.
 */
export class StoreUnavailableError extends StoreError {
  override readonly name: string = "StoreUnavailableError";
}

/** The call was not made at all, because the last ones failed, or no slot for a flush came free. */
export class StoreNotAskedError extends StoreUnavailableError {
  override readonly name = "StoreNotAskedError";
}

/**
 * The store takes the call but not the content: a constraint or a type of the database refuses a
 * row, and would again.
 */
export class RejectedRowError extends StoreError {
  override readonly name = "RejectedRowError";

  constructor(override readonly code: string, message: string, options?: { cause?: unknown }) {
    super(message, code, options);
  }
}

/**
 * The store answers, and refuses whatever it is asked: no rights, a table that takes no row,
 * another database. Nothing gets better by itself, a person has to change something; until then
 * what waits is kept.
 */
export class StoreRefusesError extends StoreError {
  override readonly name = "StoreRefusesError";

  constructor(override readonly code: string, message: string, options?: { cause?: unknown }) {
    super(message, code, options);
  }
}

/**
 * The store no longer has what it had confirmed: an older backup was restored, or a replica that
 * was behind took over.
 */
export class StoreWentBackError extends StoreError {
  override readonly name = "StoreWentBackError";
}

/**
 * The store has numbers of a group within other bounds than those it came with. Who brings it cannot
 * know which of its entries are there: a person has to find out who cut it anew.
 */
export class GroupsOverlapError extends StoreError {
  override readonly name = "GroupsOverlapError";
}

/** A group is meant for another store: a worker, or the server that sent it, is configured wrongly. */
export class ForeignGroupError extends StoreError {
  override readonly name = "ForeignGroupError";
}

/**
 * Another instance leads by now: what this one wanted to change as the leader was not changed.
 */
export class TermOverError extends StoreError {
  override readonly name = "TermOverError";
}

/** The broker was asked for something that did not come about. */
export abstract class BrokerError extends Error {}

/** The broker gave no answer in time, or failed in a way that may pass by itself. */
export class BrokerUnavailableError extends BrokerError {
  override readonly name = "BrokerUnavailableError";
}

/**
 * The broker answers, and refuses: a wrong password, no right to a queue, a topology that differs
 * from the one that is wanted. A person has to change something.
 */
export class BrokerRefusesError extends BrokerError {
  override readonly name = "BrokerRefusesError";
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

/** An answer is ended before its end on purpose, as who asked for it does not take it. */
export class AnswerEndedError extends Error {
  override readonly name = "AnswerEndedError";
}

/** Returns a reason that people can read, of anything that was thrown. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") {
    return error.errors.map(reasonOf).join("; ");
  }
  return error instanceof Error ? error.message : String(error);
}

/** So long is no chain of causes that means anything; a circle has no end. */
const CAUSES_MAX = 10;

/** Returns what an error came of first, as far as errors say so. */
export function rootCauseOf(error: unknown): unknown {
  let cause = error;
  for (let i = 0; i < CAUSES_MAX && cause instanceof Error && cause.cause !== undefined; i++) {
    cause = cause.cause;
  }
  return cause;
}
