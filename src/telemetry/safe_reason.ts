/**
 * Says why something failed in words that can stand in a log: of what a client sent, or a row has,
 * nothing is in them.
 */
import { serverWords, withoutValues } from "../database_words.ts";
import { AppError, BrokerError, reasonOf, RejectedRowError, StoreError } from "../errors.ts";

/** Redis repeats what it was given when it does not know a command: keys and values. */
const REPEATED_ARGUMENTS = /,? with args beginning with: .*/s;

/** Returns the reason of an error, with that of its cause where this says more. */
export function safeReasonOf(error: Error): string {
  const own = ownReason(error);
  const cause = causeOf(error);
  if (cause === undefined) return own;
  const reason = ownReason(cause);
  return own.includes(reason) ? own : `${own}: ${reason}`;
}

/**
 * A store and a broker have said in words of their own what a driver told them, and why a request
 * was refused is its sender's business: what is behind those is looked at only if it has such words.
 */
function causeOf(error: Error): Error | undefined {
  const { cause } = error;
  if (!(cause instanceof Error)) return undefined;
  const isWorded = error instanceof StoreError || error instanceof BrokerError ||
    error instanceof AppError;
  return !isWorded || cause instanceof StoreError || cause instanceof BrokerError
    ? cause
    : undefined;
}

function ownReason(error: Error): string {
  // The message is for the one who sent the request, and may repeat a part of it.
  if (error instanceof AppError) return error.code;
  if (error instanceof RejectedRowError) {
    return `${withoutValues(error.code, error.message)} (${error.code})`;
  }
  // It repeats a stretch of what could not be parsed.
  if (error instanceof SyntaxError) return "something could not be parsed";
  if (isOfServer(error)) return serverWords(error);
  return reasonOf(error).replace(REPEATED_ARGUMENTS, "");
}

function isOfServer(error: Error): error is Error & { code: string; where?: string } {
  const { code, severity } = error as { code?: unknown; severity?: unknown };
  return typeof code === "string" && typeof severity === "string";
}
