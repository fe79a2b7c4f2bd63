/**
 * Is one connection: it runs a statement at a time, none of them named, and has no way to end the
 * process.
 */
import pg from "pg";
import { withDeadline } from "../../deadline.ts";
import { reasonOf, StoreRefusesError, StoreUnavailableError } from "../../errors.ts";
import { type BackendKey, cancelStatement, type Endpoint } from "./cancel.ts";
import { CopyIn } from "./copy.ts";
import type { Result, Session } from "./session.ts";

/**
 * The connection broke, or the server ended it. Whether the statement under way took effect is not
 * known.
 */
export class ConnectionLostError extends Error {
  override readonly name = "ConnectionLostError";

  /** @param code the SQLSTATE with which the server ended it, if it said one */
  constructor(message: string, readonly code?: string, options?: { cause?: unknown }) {
    super(message, options);
  }
}

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly applicationName: string;
}

/** A new connection is asked this before it is used. */
export interface ServerState {
  readonly inRecovery: boolean;
  readonly readOnly: boolean;
  /** It is a level such as `read committed`. */
  readonly isolation: string;
}

/**
 * This is well below the minute after which the strictest of firewalls forget an idle connection.
 */
const KEEP_ALIVE_MS = 10_000;
/** It is as long as a connection may take to be made (connect.ts). */
const CANCEL_LIMIT_MS = 3_000;
/** Nobody misses an answer to a goodbye. */
const GOODBYE_LIMIT_MS = 1_000;
const READ_ONLY_TRANSACTION = "25006";
const STATEMENT_POOLING = /statement pooling mode/;

export class Connection implements Session {
  readonly madeAtMs = performance.now();
  readonly #client: pg.Client;
  readonly #endpoint: Endpoint;
  #lost: ConnectionLostError | undefined;
  #failStatement: ((error: Error) => void) | undefined;
  #refusal: Error | undefined;
  #closed: Promise<void> | undefined;
  #readOnly = false;

  private constructor(client: pg.Client, endpoint: Endpoint) {
    this.#client = client;
    this.#endpoint = endpoint;
    // Without a listener an error between two statements would end the process.
    client.on("error", (error) => this.#lose(error));
    client.on("end", () => this.#lose(new Error("the connection was closed")));
  }

  /**
   * @param onAnswered called once the server has taken the connection, before it says anything
   * @throws DatabaseError of the driver, or what the network or TLS reports, or the signal's reason
   */
  static async open(
    endpoint: Endpoint,
    login: Login,
    { limitMs, signal, onAnswered }: {
      limitMs: number;
      signal: AbortSignal;
      onAnswered: () => void;
    },
  ): Promise<Connection> {
    const { host, port, channel } = endpoint;
    const client = new pg.Client({
      host,
      port,
      ssl: channel,
      user: login.user,
      // It is given as a function, because an empty text would make the driver look elsewhere.
      password: () => login.password,
      database: login.database,
      application_name: login.applicationName,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      connectionTimeoutMillis: 0,
    });
    const connection = new Connection(client, endpoint);
    client.connection.once("connect", onAnswered);
    const broken = Promise.withResolvers<never>();
    // An error that comes later is the business of whoever uses the connection then.
    broken.promise.catch(() => {});
    const onAbort = () => broken.reject(signal.reason);
    client.once("error", broken.reject);
    signal.addEventListener("abort", onAbort);
    try {
      signal.throwIfAborted();
      await withDeadline(Promise.race([client.connect(), broken.promise]), limitMs, "The server");
      return connection;
    } catch (error) {
      connection.#destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Returns whether a next statement can be expected to work, outside any transaction. */
  get isFresh(): boolean {
    return this.#lost === undefined && !this.#readOnly &&
      this.#client.getTransactionStatus() === "I";
  }

  /**
   * It is true when this is of no more use, and so is most likely whatever else was connected to
   * the same place.
   */
  get hasFailed(): boolean {
    return this.#lost !== undefined || this.#readOnly;
  }

  async query<Row>(text: string, parameters: readonly unknown[] = []): Promise<Result<Row>> {
    return resultOf<Row>(await this.#submit(text, parameters));
  }

  /** Does as {@link Transaction.copy}. */
  async copy(text: string, rows: Iterable<string>): Promise<number> {
    let copy: CopyIn | undefined;
    try {
      const answer = await this.#run((done) =>
        this.#client.query(copy = new CopyIn(text, rows, done))
      );
      return lastOf(answer).rowCount ?? 0;
    } catch (error) {
      throw copy?.failure ?? error;
    }
  }

  async state(): Promise<ServerState> {
    const { rows: [found] } = await this.query<ServerState>(
      `select pg_is_in_recovery() as "inRecovery",
        current_setting('transaction_read_only') = 'on' as "readOnly",
        current_setting('transaction_isolation') as isolation`,
    );
    return found!;
  }

  /**
   * Begins a transaction in one message with its limits, which end with it: a pooler between here
   * and the server gives the session to others. In the same message goes a first statement.
   * @throws StoreRefusesError behind a pooler that knows no transactions
   */
  async begin<Row>(limits: Readonly<Record<string, number>>, first: string): Promise<Result<Row>> {
    const settings = Object.entries(limits).map(([name, value]) =>
      `set local ${name} = ${Math.ceil(value)}`
    );
    const statements = ["begin isolation level read committed", ...settings, first];
    try {
      return resultOf<Row>(await this.#submit(statements.join("; "), []));
    } catch (error) {
      if (!STATEMENT_POOLING.test(reasonOf(error))) throw error;
      const message =
        "PgBouncer refuses transactions, as its pool_mode is statement: set it to transaction or " +
        "session";
      throw new StoreRefusesError("08P01", message, { cause: error });
    }
  }

  /**
   * Commits the transaction, in one message with its last statements.
   * @throws ConnectionLostError when the answer is lost, StoreUnavailableError when the server
   *   rolled back instead
   */
  async commit(last: readonly string[] = []): Promise<void> {
    const { command } = lastOf(await this.#submit([...last, "commit"].join("; "), []));
    if (command !== "COMMIT") {
      throw new StoreUnavailableError(
        `The transaction was not committed: the server answered ${command}`,
      );
    }
  }

  /** Rolls back, and never throws: a connection on which this fails is not used again. */
  async rollback(): Promise<void> {
    await this.#submit("rollback", []).catch(() => {});
  }

  /** Gives up what is under way, here at once and on the server as soon as it can be told. */
  abandon(reason: Error, tellLimitMs = CANCEL_LIMIT_MS): void {
    if (this.#closed !== undefined) return;
    const wasBusy = this.#failStatement !== undefined;
    this.#lose(reason);
    const { processID, secretKey } = this.#client as pg.Client & BackendKey;
    const told = wasBusy && processID !== null
      ? cancelStatement(this.#endpoint, { processID, secretKey }, tellLimitMs)
      : Promise.resolve();
    // This does not come before, as a pooler no longer knows which statement is meant once its
    // client is gone.
    this.#closed = told.then(() => this.#destroy());
  }

  /** Closes in order where the server still listens; it never fails and never hangs. */
  close(): Promise<void> {
    return this.#closed ??= this.#isUsable()
      ? withDeadline(this.#client.end(), GOODBYE_LIMIT_MS, "The server").catch(() => {}).then(() =>
        this.#destroy()
      )
      : Promise.resolve(this.#destroy());
  }

  #isUsable(): boolean {
    return this.#lost === undefined && this.#failStatement === undefined;
  }

  #destroy(): void {
    this.#lose(new Error("the connection was closed"));
    this.#client.connection.stream.destroy();
  }

  #lose(reason: Error): void {
    if (this.#lost !== undefined) return;
    // What the server said last tells more than that it closed the connection.
    const cause = this.#refusal ?? reason;
    const code = cause instanceof pg.DatabaseError ? cause.code : undefined;
    this.#lost = new ConnectionLostError(
      `The connection to PostgreSQL was lost: ${reasonOf(cause)}`,
      code,
      { cause },
    );
    this.#failStatement?.(this.#lost);
  }

  #submit(text: string, parameters: readonly unknown[]): Promise<Answer> {
    return this.#run((done) => this.#client.query({ text, values: [...parameters] }, done));
  }

  #run(send: (done: Callback) => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) return reject(this.#lost);
      if (this.#failStatement !== undefined) {
        return reject(new Error("A connection takes one statement at a time"));
      }
      const done = () => this.#failStatement = undefined;
      this.#failStatement = (error) => {
        done();
        reject(error);
      };
      send((error, answer) => {
        if (this.#lost !== undefined) return;
        if (error === null || error === undefined) {
          done();
          resolve(answer);
        } else this.#refused(error);
      });
    });
  }

  /**
   * A statement that was refused is over when the server is ready for the next one, and not before.
   */
  #refused(error: Error): void {
    if (!(error instanceof pg.DatabaseError) || isEndOfConnection(error.code)) {
      return this.#lose(error);
    }
    if (error.code === READ_ONLY_TRANSACTION) this.#readOnly = true;
    this.#refusal = error;
    this.#client.once("drain", () => {
      this.#refusal = undefined;
      this.#failStatement?.(error);
    });
  }
}

/** A message of several statements is answered for each of them. */
type Answer = pg.QueryResult | readonly pg.QueryResult[];
type Callback = (error: Error | null | undefined, answer: Answer) => void;

function lastOf(answer: Answer): pg.QueryResult {
  return "rows" in answer ? answer : answer.at(-1)!;
}

function resultOf<Row>(answer: Answer): Result<Row> {
  const { rows, rowCount } = lastOf(answer);
  return { rows: rows as Row[], rowCount };
}

/** Returns true for class 08, and for what a server says that shuts down or is not up yet. */
function isEndOfConnection(code: string | undefined): boolean {
  return code !== undefined && /^(08|57P0[123])/.test(code);
}
