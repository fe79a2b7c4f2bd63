/** Binds what a leader changes to its term: each transaction begins by comparing it. */
import type { Term } from "../../ports/terms.ts";
import type { Database } from "./database.ts";
import type { Transaction } from "./session.ts";
import { assertTerm } from "./terms.ts";

/** It is the database, as far as ports use it that change rows. */
export type Changes = Pick<Database, "read" | "run" | "transaction" | "transactionOr">;

/**
 * Returns the same database, whose transactions throw a TermOverError, and change nothing, once
 * another term than this one has begun. What is no transaction changes no rows.
 */
export function withinTerm(database: Changes, term: Term): Changes {
  const within =
    <T>(work: (transaction: Transaction) => Promise<T>) =>
    async (transaction: Transaction): Promise<T> => {
      await assertTerm(transaction, term);
      return await work(transaction);
    };
  return {
    read: (work) => database.read(work),
    run: (work) => database.run(work),
    transaction: (work) => database.transaction(within(work)),
    transactionOr: (work, instead) =>
      database.transactionOr(
        within(work),
        (error, pool) =>
          instead(error, { ...pool, transaction: (more) => pool.transaction(within(more)) }),
      ),
  };
}
