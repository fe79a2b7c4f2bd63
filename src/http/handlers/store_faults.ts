/** Tells a store that failed from a defect of ours, for handlers that need the store. */
import { AppError } from "../../errors.ts";

/** The language throws these at a mistake of ours; a store's own errors are none of them. */
const DEFECTS = [TypeError, RangeError, ReferenceError, SyntaxError, URIError];

/**
 * Only a failure of the store is one: anything else passes on unchanged, to be logged as a defect.
 * @param detail what the client cannot be told, and when it can be
 * @throws AppError `store-unavailable`, or `error` itself
 */
export function answerStoreFault(error: unknown, detail: string): never {
  if (error instanceof AppError || DEFECTS.some((kind) => error instanceof kind)) throw error;
  throw new AppError("store-unavailable", detail, { cause: error });
}
