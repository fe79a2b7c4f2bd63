/** The store in PostgreSQL. Owns the pool and the statements; the schema is next door, in postgres_schema.ts. */
import { checkServerIdentity as checkIdentity, type PeerCertificate } from "node:tls";
import postgres from "postgres";
import { DeadlineError, withDeadline } from "../deadline.ts";
import type { Entry } from "../domain.ts";
import { RejectedRowError } from "../errors.ts";
import type { DeadLetter, DeadLetters, Rejection, Store } from "../ports.ts";
import {
  buryDeadLetter,
  countAttempt,
  countDeadLetters,
  discardDeadLetter,
  findDeadLetter,
  listDeadLetters,
  replayDeadLetter,
} from "./postgres_dead_letters.ts";
import { onLostWrite } from "./postgres_lost_write.ts";
import { ensureSchema, INDEXED_KEY_BYTES } from "./postgres_schema.ts";

export type SslMode = "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full";

export interface PostgresStoreOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly sslMode: SslMode;
  /** Certificates in PEM to trust instead of the system's. */
  readonly sslRootCert?: string;
  readonly poolSize: number;
  /** How long a statement may take; default 5 s. A call waits a little longer, a migration may take minutes. */
  readonly callTimeoutMs?: number;
}

/** Does not connect before the first call; the server need not be up. */
export function createPostgresStore(options: PostgresStoreOptions): Store & DeadLetters {
  return new PostgresStore(options);
}

const DEFAULT_CALL_TIMEOUT_MS = 5_000;
/** The server ends a statement that takes too long by itself; only silence beyond that means that it is gone. */
const GRACE_MS = 1_000;
const CONNECT_TIMEOUT_SECONDS = 3;
/** What is under way on the other connections of a pool that is given up may finish. */
const DRAIN_SECONDS = 5;
const MIGRATION_LIMIT_MS = 600_000;

interface LatestRow {
  readonly value: string;
  readonly ts: string | null;
  readonly accepted_ms: string;
  readonly instance: string;
  readonly seq: string;
}

class PostgresStore implements Store, DeadLetters {
  readonly #callTimeoutMs: number;
  #sql: postgres.Sql;
  #schema: Promise<void> | undefined;
  #closed = false;
  readonly #stopWatching: () => void;

  constructor(private readonly options: PostgresStoreOptions) {
    this.#callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#sql = this.#connect();
    this.#stopWatching = onLostWrite(() => this.#replace(this.#sql, 0));
  }

  open(source: string): Promise<number> {
    return this.#call(async (sql) => {
      await sql`insert into dsproxy_marks (source, seq) values (${source}, 0) on conflict do nothing`;
      const [row] = await sql<{ seq: string }[]>`select seq from dsproxy_marks where source = ${source}`;
      return Number(row!.seq);
    });
  }

  put(source: string, entries: readonly Entry[]): Promise<number> {
    // A few statements, each of which may take its time.
    return this.#call((sql) => sql.begin((tx) => putEntries(tx, source, entries)), 2 * this.#callTimeoutMs + GRACE_MS);
  }

  bury(source: string, entry: Entry, reason: Rejection): Promise<void> {
    return this.#call(
      (sql) => sql.begin((tx) => buryEntry(tx, source, entry, reason)),
      2 * this.#callTimeoutMs + GRACE_MS,
    );
  }

  count(): Promise<number> {
    return this.#call(countDeadLetters);
  }
  list(limit: number, after?: Pick<DeadLetter, "source" | "seq">): Promise<DeadLetter[]> {
    return this.#call((sql) => listDeadLetters(sql, limit, after));
  }
  find(id: string): Promise<DeadLetter | undefined> {
    return this.#call((sql) => findDeadLetter(sql, id));
  }
  discard(id: string): Promise<boolean> {
    return this.#call((sql) => discardDeadLetter(sql, id));
  }
  async replay(id: string): Promise<string | undefined> {
    try {
      return await this.#call((sql) => sql.begin((tx) => replayDeadLetter(tx, id)), 2 * this.#callTimeoutMs + GRACE_MS);
    } catch (error) {
      if (error instanceof RejectedRowError) await this.#call((sql) => countAttempt(sql, id, error));
      throw error;
    }
  }

  latest(userId: string): Promise<Entry | undefined> {
    return this.#call(async (sql) => {
      const [row] = await sql<LatestRow[]>`
        select value, ts, dsproxy_accepted_ms as accepted_ms, dsproxy_instance as instance, dsproxy_seq as seq from user_data
        where user_id = ${userId} and octet_length(user_id) <= ${
        sql.unsafe(String(INDEXED_KEY_BYTES))
      } and value is not null
        order by ts desc nulls last, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc limit 1`;
      return row && entryOf(userId, row);
    });
  }

  async ping(): Promise<void> {
    await this.#call((sql) => sql`select 1`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#sql.end({ timeout: 1 });
    this.#stopWatching();
  }

  async #call<T>(work: (sql: postgres.Sql) => Promise<T>, limitMs = this.#callTimeoutMs + GRACE_MS): Promise<T> {
    if (this.#closed) throw new Error("The PostgreSQL store is closed");
    const sql = this.#sql;
    await withDeadline(this.#ready(sql), limitMs, `${this.#name}, whose schema is being prepared,`);
    return await this.#answered(sql, work(sql), limitMs);
  }

  /** Made once; after a failure the next call tries again. */
  #ready(sql: postgres.Sql): Promise<void> {
    return this.#schema ??= this.#prepare(sql).catch((error) => {
      this.#schema = undefined;
      throw error;
    });
  }

  async #prepare(sql: postgres.Sql): Promise<void> {
    // A server that takes the connection and then says nothing is told from one that is busy with a long migration.
    await this.#answered(sql, sql`select 1`, this.#callTimeoutMs);
    await withDeadline(ensureSchema(sql), MIGRATION_LIMIT_MS, this.#name);
  }

  async #answered<T>(sql: postgres.Sql, work: Promise<T>, limitMs: number): Promise<T> {
    try {
      return await withDeadline(work, limitMs, this.#name);
    } catch (error) {
      if (error instanceof DeadlineError) this.#replace(sql, 0);
      else if (!(error instanceof postgres.PostgresError)) this.#replace(sql, DRAIN_SECONDS);
      throw isRejection(error) ? new RejectedRowError(error.code, error.message, { cause: error }) : error;
    }
  }

  get #name(): string {
    return `PostgreSQL at ${this.options.host}:${this.options.port}`;
  }

  /**
   * Connections into a black hole never come back, and would fill the pool. One that broke may be of no more use either: the
   * driver can keep what it had still to write, and never write again.
   */
  #replace(broken: postgres.Sql, drainSeconds: number): void {
    if (this.#sql !== broken || this.#closed) return;
    this.#sql = this.#connect();
    void broken.end({ timeout: drainSeconds }).catch(() => {});
  }

  #connect(): postgres.Sql {
    const { host, port, user, password, database, poolSize } = this.options;
    return postgres({
      host,
      port,
      user,
      password,
      database,
      max: poolSize,
      ssl: sslOptions(this.options),
      connect_timeout: CONNECT_TIMEOUT_SECONDS,
      idle_timeout: 60,
      onnotice: () => {},
      connection: { application_name: "dsproxy", statement_timeout: this.#callTimeoutMs },
    });
  }
}

/** Classes 22 (data exception) and 23 (integrity constraint): the row is at fault. All others may pass. */
function isRejection(error: unknown): error is postgres.PostgresError {
  return error instanceof postgres.PostgresError && /^2[23]/.test(error.code);
}

/** Locks the mark, so that a repeat waits for a first try that is still running, and then finds everything below it. */
async function putEntries(tx: postgres.TransactionSql, source: string, entries: readonly Entry[]): Promise<number> {
  const mark = await lockMark(tx, source);
  const fresh = entries.filter(({ seq }) => seq > mark);
  const last = fresh.at(-1);
  if (last === undefined) return 0;
  await tx`
    insert into user_data (user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq)
    select * from unnest(
      ${fresh.map((entry) => entry.userId)}::text[], ${fresh.map((entry) => entry.value)}::text[],
      ${fresh.map((entry) => entry.ts)}::bigint[], ${fresh.map((entry) => entry.acceptedMs)}::bigint[],
      ${fresh.map((entry) => entry.instance)}::text[], ${fresh.map((entry) => entry.seq)}::bigint[])`;
  await tx`update dsproxy_marks set seq = ${last.seq}, updated_at = now() where source = ${source}`;
  return fresh.length;
}

async function buryEntry(tx: postgres.TransactionSql, source: string, entry: Entry, reason: Rejection): Promise<void> {
  if (await lockMark(tx, source) >= entry.seq) return;
  await buryDeadLetter(tx, source, entry, reason);
  await tx`update dsproxy_marks set seq = ${entry.seq}, updated_at = now() where source = ${source}`;
}

/** The mark, locked until the end of the transaction. */
async function lockMark(tx: postgres.TransactionSql, source: string): Promise<number> {
  // The journal forgets what was committed, so the commit has to be on disk; a stronger setting is kept.
  const [row] = await tx<{ seq: string }[]>`
    select seq, set_config('synchronous_commit', case current_setting('synchronous_commit') when 'off' then 'on'
      else current_setting('synchronous_commit') end, true)
    from dsproxy_marks where source = ${source} for update`;
  if (row === undefined) throw new Error(`The mark of ${source} is gone: was the database replaced?`);
  return Number(row.seq);
}

function entryOf(userId: string, row: LatestRow): Entry {
  return {
    userId,
    value: row.value,
    ts: Number(row.ts ?? 0),
    acceptedMs: Number(row.accepted_ms),
    instance: row.instance,
    seq: Number(row.seq),
  };
}

function sslOptions(
  { sslMode, sslRootCert, host }: PostgresStoreOptions,
): "prefer" | "allow" | false | Record<string, unknown> {
  if (sslMode === "disable") return false;
  if (sslMode === "prefer" || sslMode === "allow") return sslMode;
  // As libpq: a root certificate turns `require` into `verify-ca`.
  if (sslMode === "require" && sslRootCert === undefined) return { rejectUnauthorized: false };
  const ca = sslRootCert === undefined ? {} : { ca: sslRootCert };
  const checkServerIdentity = sslMode === "verify-full"
    // Told by name, as the driver leaves the name out of the handshake where it is an address.
    ? (_name: string, certificate: PeerCertificate) => checkIdentity(host, certificate)
    : () => undefined;
  return { ...ca, checkServerIdentity };
}
