/**
 * Is a transaction in few round trips: what begins it goes out with its first statement, and what
 * ends it with the last, as far as these have no parameters.
 */
import type { Connection } from "./connection.ts";
import type { Result, Transaction } from "./session.ts";

/**
 * Runs a transaction with limits on the server, which ends by itself what takes too long, also
 * where it cannot be told to: a statement, the wait for a lock, and a transaction whose client is
 * gone without a word, which would keep its locks.
 */
export async function inTransaction<T>(
  connection: Connection,
  limitMs: number,
  work: (transaction: Transaction) => Promise<T>,
): Promise<T> {
  const statementMs = Math.max(limitMs - 1_000, 0.8 * limitMs);
  const transaction = new OpenTransaction(connection, {
    statement_timeout: statementMs,
    lock_timeout: statementMs / 2,
    idle_in_transaction_session_timeout: limitMs,
  });
  try {
    const result = await work(transaction);
    await transaction.commit();
    return result;
  } catch (error) {
    if (!connection.hasFailed) await connection.rollback();
    throw error;
  }
}

class OpenTransaction implements Transaction {
  #hasBegun = false;
  readonly #last: string[] = [];

  constructor(
    private readonly connection: Connection,
    private readonly limits: Readonly<Record<string, number>>,
  ) {}

  async query<Row>(text: string, parameters: readonly unknown[] = []): Promise<Result<Row>> {
    if (!this.#hasBegun && parameters.length === 0) return await this.#begin<Row>(text);
    await this.#begun();
    return await this.connection.query<Row>(text, parameters);
  }

  async copy(text: string, rows: Iterable<string>): Promise<number> {
    await this.#begun();
    return await this.connection.copy(text, rows);
  }

  atEnd(text: string): void {
    this.#last.push(text);
  }

  /** @throws as {@link Connection.commit} */
  async commit(): Promise<void> {
    await this.#begun();
    await this.connection.commit(this.#last);
  }

  async #begun(): Promise<void> {
    if (!this.#hasBegun) await this.#begin("");
  }

  #begin<Row>(text: string): Promise<Result<Row>> {
    this.#hasBegun = true;
    return this.connection.begin<Row>(this.limits, text);
  }
}
