/**
 * Is the database as the ports of this adapter use it: a call is made once the schema is there, in
 * a bounded time, and what goes wrong is told in the words of src/errors.ts. Nothing else in this
 * folder turns a failure of the driver or the network into one of those.
 */
import pg from "pg";
import { serverWords } from "../../database_words.ts";
import { DeadlineError, withDeadline } from "../../deadline.ts";
import {
  StoreError,
  StoreRefusesError,
  StoreUnavailableError,
  StoreWentBackError,
} from "../../errors.ts";
import { ConnectError } from "./connect.ts";
import { ConnectionLostError } from "./connection.ts";
import { findIdentity, type IdentityGate, identityOf, refuseHidden } from "./identity.ts";
import { ensureIndex } from "./latest_index.ts";
import { pause } from "./pause.ts";
import { CLOSED, createPool, type Pool, type PoolOptions } from "./pool.ts";
import { ensureTables } from "./schema.ts";
import type { Session, Transaction } from "./session.ts";
import { isRefusal, isSchemaGone } from "./sql_state.ts";

export interface DatabaseOptions extends Omit<PoolOptions, "admit"> {
  /** A statement may take so long; the default is 5 s. A call waits a little longer. */
  readonly callTimeoutMs?: number;
  readonly gate?: IdentityGate;
  /** It is told when the index of the latest entries cannot be made for now; it is tried again. */
  readonly onIndexFault?: (error: unknown) => void;
}

/**
 * This is far more than a full batch takes, and as long as a person may be let wait for an answer.
 */
const DEFAULT_CALL_TIMEOUT_MS = 5_000;
/**
 * The server ends a statement that takes too long by itself; only silence beyond that means that it
 * is gone.
 */
const GRACE_MS = 1_000;
/** What keeps an index from being built lasts for minutes: rights, space, a long transaction. */
const INDEX_RETRY_MS = 300_000;
/** One of them builds, and one looks who else does. */
const INDEX_CONNECTIONS = 2;

/**
 * It has the connections, with the limits of this adapter; what the driver throws is left as it is.
 */
interface BoundedPool {
  /** Who runs a transaction gives it up after this. */
  readonly transactionLimitMs: number;
  run<T>(work: (session: Session) => Promise<T>): Promise<T>;
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
}

export class Database {
  /** A call that is no transaction is over after so long. */
  readonly callLimitMs: number;
  /** A transaction is a few statements, each of which may take its time. */
  readonly #transactionLimitMs: number;
  readonly #poolOptions: PoolOptions;
  readonly #pool: Pool;
  #ready: Promise<void> | undefined;
  /** The database that was made ready has this identity. */
  #identity: string | undefined;
  #indexing: Promise<void> | undefined;
  readonly #closing = new AbortController();

  /** Does not connect before the first call is made. */
  constructor(private readonly options: DatabaseOptions) {
    const callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.callLimitMs = callTimeoutMs + GRACE_MS;
    this.#transactionLimitMs = 2 * callTimeoutMs + GRACE_MS;
    this.#poolOptions = { ...options, admit: (session) => this.#admit(session) };
    this.#pool = createPool(this.#poolOptions);
  }

  /** Runs statements outside a transaction. @throws StoreError */
  run<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#call(() => this.#pool.run(this.callLimitMs, work));
  }

  /**
   * Runs statements that only read, and see all that was committed before they began. Where the
   * connection was lost they are run once more: the server may have ended it while it was idle, and
   * asking again does no harm.
   */
  read<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#call(async () => {
      try {
        return await this.#pool.read(this.callLimitMs, work);
      } catch (error) {
        if (!(error instanceof ConnectionLostError)) throw error;
        return await this.#pool.read(this.callLimitMs, work);
      }
    });
  }

  /** Does as {@link run} for what may take so long. */
  longRun<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    return this.#call(() => this.#pool.run(limitMs, work));
  }

  /** Does as {@link read} for what reads much, and may take so long. Nobody waits behind it. */
  longRead<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    return this.#call(() => this.#pool.read(limitMs, work));
  }

  /** Commits when `work` resolves, rolls back when it rejects. @throws StoreError */
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#call(() => this.#pool.transaction(this.#transactionLimitMs, work));
  }

  /**
   * Does as {@link transaction}; where that fails, `instead` decides: what it resolves to is the
   * result, and what it throws is the failure. It gets the driver's own error, which alone has a
   * SQLSTATE, and throws that again when it knows no other way.
   * @throws StoreError
   */
  transactionOr<T>(
    work: (transaction: Transaction) => Promise<T>,
    instead: (error: unknown, pool: BoundedPool) => Promise<T>,
  ): Promise<T> {
    const pool: BoundedPool = {
      transactionLimitMs: this.#transactionLimitMs,
      run: <R>(more: (session: Session) => Promise<R>) => this.#pool.run(this.callLimitMs, more),
      transaction: <R>(more: (transaction: Transaction) => Promise<R>) =>
        this.#pool.transaction(this.#transactionLimitMs, more),
    };
    return this.#call(() => pool.transaction(work).catch((error) => instead(error, pool)));
  }

  /** Names the servers, for messages. */
  describe(): string {
    return this.#pool.describe();
  }

  async close(): Promise<void> {
    this.#closing.abort(new StoreUnavailableError(CLOSED));
    await this.#pool.close();
    await this.#indexing;
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      await withDeadline(
        this.#prepared(),
        this.callLimitMs,
        `${this.#pool.describe()}, whose schema is being prepared,`,
      );
      return await work();
    } catch (error) {
      if (isSchemaGone(error) || error instanceof StoreWentBackError) this.#ready = undefined;
      throw this.#explained(error);
    }
  }

  /**
   * Says it in the words of src/errors.ts. An error that neither the server nor the way to it has
   * made is a defect, and stays what it is.
   */
  #explained(error: unknown): unknown {
    if (error instanceof StoreError) return error;
    if (isRefusal(error)) {
      return new StoreRefusesError(error.code, `${this.#pool.describe()}: ${serverWords(error)}`, {
        cause: error,
      });
    }
    // A login that is refused, too, is an answer that only a person can change.
    if (error instanceof ConnectError && /^(28|3D000$|42501$)/.test(error.code ?? "")) {
      return new StoreRefusesError(error.code!, error.message, { cause: error });
    }
    if (error instanceof pg.DatabaseError) {
      return new StoreUnavailableError(serverWords(error), error.code, { cause: error });
    }
    if (error instanceof ConnectError || error instanceof ConnectionLostError) {
      return new StoreUnavailableError(error.message, error.code, { cause: error });
    }
    return error instanceof DeadlineError
      ? new StoreUnavailableError(error.message, undefined, { cause: error })
      : error;
  }

  /**
   * The schema is prepared once; and again after a failure, or when a connection leads to another
   * database than the last one did.
   */
  #prepared(): Promise<void> {
    if (this.#ready !== undefined) return this.#ready;
    const ready = this.#ready = this.#prepare();
    ready.catch(() => {
      if (this.#ready === ready) this.#ready = undefined;
    });
    return ready;
  }

  async #admit(session: Session): Promise<void> {
    const { gate } = this.options;
    const found = await findIdentity(session);
    if (found === undefined && gate?.expected !== undefined) {
      await refuseHidden(session, gate.expected);
    }
    await gate?.admit(found);
    if (found !== this.#identity) this.#ready = undefined;
  }

  async #prepare(): Promise<void> {
    await ensureTables(this.#pool, { signal: this.#closing.signal });
    // In a transaction, so that a pooler that allows none is found out before the first flush.
    const { id } = await this.#pool.transaction(this.callLimitMs, identityOf);
    this.#identity = id;
    await this.options.gate?.bind(id);
    this.#indexing ??= this.#keepIndexed().finally(() => this.#indexing = undefined);
  }

  async #keepIndexed(): Promise<void> {
    const { signal } = this.#closing;
    while (!await this.#index()) {
      await pause(INDEX_RETRY_MS, signal).catch(() => {});
      if (signal.aborted) return;
    }
  }

  /**
   * Reads are right without the index, only slower: nobody waits for it. It has connections of its
   * own, as a build keeps one for as long as it takes.
   */
  async #index(): Promise<boolean> {
    const { signal } = this.#closing;
    const pool = createPool({ ...this.#poolOptions, poolSize: INDEX_CONNECTIONS });
    const closeEarly = () => void pool.close();
    signal.addEventListener("abort", closeEarly);
    try {
      await ensureIndex(pool, { signal });
      return true;
    } catch (error) {
      if (!signal.aborted) this.options.onIndexFault?.(error);
      return false;
    } finally {
      signal.removeEventListener("abort", closeEarly);
      await pool.close();
    }
  }
}
