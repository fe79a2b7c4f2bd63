/** Tells a store that failed from a defect of ours, for handlers that need the store. */
import { AppError, StoreError } from "../../errors.ts";

/**
 * Only what a store has to say is a fault of it: anything else passes on unchanged, to be logged as
 * a defect.
 * @param detail what the client cannot be told, and when it can be
 * @throws AppError `store-unavailable`, or `error` itself
 */
export function answerStoreFault(error: unknown, detail: string): never {
  if (!(error instanceof StoreError)) throw error;
  throw new AppError("store-unavailable", detail, { cause: error });
}
