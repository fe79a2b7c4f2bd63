/**
 * Keeps the connections: they are taken for one call or one transaction, bounded in time, and given
 * up together when one of them fails.
 */
import { Pool as Resources } from "tarn";
import { DeadlineError, withDeadline } from "../../deadline.ts";
import { StoreUnavailableError } from "../../errors.ts";
import { connect, type Connected, type ConnectOptions, describeHosts } from "./connect.ts";
import type { Connection } from "./connection.ts";
import type { Session, Transaction } from "./session.ts";
import { inTransaction } from "./transaction.ts";

export interface PoolOptions extends ConnectOptions {
  /** There are at most so many connections at a time. */
  readonly poolSize: number;
  /**
   * It looks at each new connection before anybody else uses it, and rejects when that leads to a
   * place that is not meant.
   */
  readonly admit?: (session: Session) => Promise<void>;
}

/**
 * Every call is over within `limitMs`, waiting for a connection included. What PostgreSQL refuses
 * is rejected with as the driver's DatabaseError, with its SQLSTATE in `code`; the connection stays
 * in use.
 *
 * All calls throw DeadlineError, ConnectionLostError (whether the statement under way took effect
 * is not known), ConnectError; and StoreUnavailableError once the pool is closed.
 */
export interface Pool {
  /** Runs statements outside a transaction, each one by itself. */
  run<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
  /**
   * Does as {@link Pool.run}; each statement sees what was committed before it could begin,
   * whatever isolation the database has set.
   */
  read<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T>;
  /**
   * Commits when `work` resolves, rolls back when it rejects; the isolation is READ COMMITTED.
   * @throws StoreRefusesError behind a pooler that knows no transactions
   */
  transaction<T>(limitMs: number, work: (transaction: Transaction) => Promise<T>): Promise<T>;
  /** Names the servers, for messages: `PostgreSQL at db1:5432,db2:5432`. */
  describe(): string;
  close(): Promise<void>;
}

/** Makes a pool, which does not connect before the first call. */
export function createPool(options: PoolOptions): Pool {
  return new ConnectionPool(options);
}

/** A burst's connections are given back to the server once it has been over for so long. */
const IDLE_MS = 60_000;
/**
 * Long-lived connections would never follow an address that has moved, nor a load that is to be
 * spread anew.
 */
const MOST_AGE_MS = 600_000;
/** A second choice is read from while nothing better is there: that is to be noticed soon. */
const SECOND_CHOICE_AGE_MS = 2_000;
/** What is under way may finish; a service that stops has other things to close in its time. */
const CLOSE_GRACE_MS = 1_000;
/** A server that takes a cancel request at all takes it at once; one that hangs holds up a stop. */
const CLOSE_CANCEL_MS = 250;
/** The library wants limits; each call has its own, which is lower. */
const UNUSED_LIMIT_MS = 2 ** 31 - 1;
/** It is a look at one row, on a connection that has just been made. */
const ADMIT_LIMIT_MS = 3_000;
/**
 * While callers wait it tries so often: this is short beside their limits, and long beside what a
 * refused connection costs.
 */
const RETRY_CONNECT_MS = 500;
export const CLOSED = "The PostgreSQL store is closed";

interface Pooled {
  readonly connection: Connection;
  readonly isReadCommitted: boolean;
  readonly expiresAtMs: number;
  inUse: boolean;
  isRetired: boolean;
}

type Waiting = ReturnType<Resources<Pooled>["acquire"]>;

class ConnectionPool implements Pool {
  readonly #all = new Set<Pooled>();
  readonly #waiting = new Set<Waiting>();
  readonly #resources: Resources<Pooled>;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(private readonly options: PoolOptions) {
    this.#resources = new Resources<Pooled>({
      create: () => this.#connect(),
      validate: (pooled) => isUsable(pooled),
      destroy: (pooled) => this.#remove(pooled),
      min: 0,
      max: options.poolSize,
      idleTimeoutMillis: IDLE_MS,
      acquireTimeoutMillis: UNUSED_LIMIT_MS,
      createTimeoutMillis: UNUSED_LIMIT_MS,
      createRetryIntervalMillis: RETRY_CONNECT_MS,
    });
    this.#resources.on("createFail", (_id, error) => this.#tellWaiting(error));
  }

  describe(): string {
    return `PostgreSQL at ${describeHosts(this.options.hosts)}`;
  }

  run<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    return this.#use(limitMs, ({ connection }) => work(connection));
  }

  read<T>(limitMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    // In one of the stricter levels a statement's view may be older than the lock for which it
    // waited: a table that was rewritten meanwhile would look empty to it.
    return this.#use(
      limitMs,
      ({ connection, isReadCommitted }) =>
        isReadCommitted ? work(connection) : inTransaction(connection, limitMs, work),
    );
  }

  transaction<T>(limitMs: number, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#use(limitMs, ({ connection }) => inTransaction(connection, limitMs, work));
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closing.abort(new StoreUnavailableError(CLOSED));
    this.#retireAll();
    const late = setTimeout(() => {
      const reason = new StoreUnavailableError(CLOSED);
      for (const { connection } of this.#all) connection.abandon(reason, CLOSE_CANCEL_MS);
    }, CLOSE_GRACE_MS);
    await this.#resources.destroy();
    clearTimeout(late);
  }

  async #use<T>(limitMs: number, work: (pooled: Pooled) => Promise<T>): Promise<T> {
    if (this.#closing.signal.aborted) throw new StoreUnavailableError(CLOSED);
    const wanted = this.#resources.acquire();
    this.#waiting.add(wanted);
    let taken: Pooled | undefined;
    let isLate = false;
    const attempt = wanted.promise.then(async (pooled) => {
      taken = pooled;
      this.#waiting.delete(wanted);
      pooled.inUse = true;
      try {
        if (isLate) throw new DeadlineError("The connection came too late");
        return await work(pooled);
      } finally {
        this.#giveBack(pooled);
      }
    });
    try {
      return await withDeadline(attempt, limitMs, this.describe());
    } catch (error) {
      if (error instanceof DeadlineError) {
        isLate = true;
        wanted.abort();
        if (taken !== undefined) this.#giveUp(taken, error);
      } else if (taken === undefined && this.#closing.signal.aborted) {
        // The library's own word for a wait that it ended says nothing.
        throw new StoreUnavailableError(CLOSED, undefined, { cause: error });
      }
      throw error;
    } finally {
      this.#waiting.delete(wanted);
    }
  }

  /**
   * Notes that one more connection could not be made: that is no matter while there are others, as
   * one of them will be free.
   */
  #tellWaiting(error: Error): void {
    for (const pooled of this.#all) if (pooled.inUse || isUsable(pooled)) return;
    for (const wanted of this.#waiting) wanted.reject(error);
  }

  /**
   * Gives up all connections with one that is dead: into a black hole every one is, and each would
   * take its time to show it.
   */
  #giveUp({ connection }: Pooled, reason: Error): void {
    connection.abandon(reason);
    this.#retireAll();
  }

  #giveBack(pooled: Pooled): void {
    pooled.inUse = false;
    if (pooled.connection.hasFailed) this.#retireAll();
    if (!isUsable(pooled)) void pooled.connection.close();
    this.#resources.release(pooled);
  }

  /** Retires all connections; those in use may finish what they are at. */
  #retireAll(): void {
    for (const pooled of this.#all) {
      pooled.isRetired = true;
      if (!pooled.inUse) void pooled.connection.close();
    }
  }

  async #connect(): Promise<Pooled> {
    const connected = await connect(this.options, this.#closing.signal);
    try {
      await withDeadline(
        Promise.resolve(this.options.admit?.(connected.connection)),
        ADMIT_LIMIT_MS,
        this.describe(),
      );
    } catch (error) {
      await connected.connection.close();
      throw error;
    }
    return this.#add(connected);
  }

  #add({ connection, state, isPreferred }: Connected): Pooled {
    const ageMs = isPreferred ? MOST_AGE_MS * (0.8 + 0.2 * Math.random()) : SECOND_CHOICE_AGE_MS;
    const pooled: Pooled = {
      connection,
      isReadCommitted: state.isolation === "read committed",
      expiresAtMs: connection.madeAtMs + ageMs,
      inUse: false,
      isRetired: false,
    };
    this.#all.add(pooled);
    return pooled;
  }

  async #remove(pooled: Pooled): Promise<void> {
    this.#all.delete(pooled);
    await pooled.connection.close();
  }
}

function isUsable({ connection, isRetired, expiresAtMs }: Pooled): boolean {
  return !isRetired && connection.isFresh && performance.now() < expiresAtMs;
}
