/** The store in PostgreSQL. Owns the statements; the connections are in pool.ts, the schema in schema.ts. */
import pg from "pg";
import { withDeadline } from "../../deadline.ts";
import type { Entry } from "../../domain.ts";
import { RejectedRowError } from "../../errors.ts";
import type { DeadLetter, DeadLetters, Rejection, Store } from "../../ports.ts";
import { ConnectionLostError } from "./connection.ts";
import {
  buryDeadLetter,
  countAttempt,
  countDeadLetters,
  discardDeadLetter,
  findDeadLetter,
  listDeadLetters,
  replayDeadLetter,
} from "./dead_letters.ts";
import { createPool, type Pool, type PoolOptions } from "./pool.ts";
import { ensureSchema, INDEXED_KEY_BYTES } from "./schema.ts";
import type { Session } from "./session.ts";

export interface PostgresStoreOptions extends PoolOptions {
  /** How long a statement may take; default 5 s. A call waits a little longer, a migration may take minutes. */
  readonly callTimeoutMs?: number;
}

/** Does not connect before the first call; the server need not be up. */
export function createPostgresStore(options: PostgresStoreOptions): Store & DeadLetters {
  return new PostgresStore(options);
}

const DEFAULT_CALL_TIMEOUT_MS = 5_000;
const GRACE_MS = 1_000;

interface LatestRow {
  readonly value: string;
  readonly ts: string | null;
  readonly accepted_ms: string;
  readonly instance: string;
  readonly seq: string;
}

const LATEST =
  `select value, ts, dsproxy_accepted_ms as accepted_ms, dsproxy_instance as instance, dsproxy_seq as seq from user_data
  where user_id = $1 and octet_length(user_id) <= ${INDEXED_KEY_BYTES} and value is not null
  order by ts desc nulls last, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc limit 1`;

class PostgresStore implements Store, DeadLetters {
  readonly #pool: Pool;
  readonly #callLimitMs: number;
  /** A few statements, each of which may take its time. */
  readonly #transactionLimitMs: number;
  #schema: Promise<void> | undefined;
  #isPrepared = false;

  constructor({ callTimeoutMs = DEFAULT_CALL_TIMEOUT_MS, ...options }: PostgresStoreOptions) {
    this.#pool = createPool(options);
    this.#callLimitMs = callTimeoutMs + GRACE_MS;
    this.#transactionLimitMs = 2 * callTimeoutMs + GRACE_MS;
  }

  open(source: string): Promise<number> {
    // As one transaction, so that a pooler that allows none is found out at the start.
    return this.#transaction(async (session) => {
      await session.query("insert into dsproxy_marks (source, seq) values ($1, 0) on conflict do nothing", [source]);
      const { rows: [row] } = await session.query<{ seq: string }>(
        "select seq from dsproxy_marks where source = $1",
        [source],
      );
      return Number(row!.seq);
    });
  }

  put(source: string, entries: readonly Entry[]): Promise<number> {
    return this.#transaction((session) => putEntries(session, source, entries));
  }

  bury(source: string, entry: Entry, reason: Rejection): Promise<void> {
    return this.#transaction((session) => buryEntry(session, source, entry, reason));
  }

  count(): Promise<number> {
    return this.#run(countDeadLetters);
  }
  list(limit: number, after?: Pick<DeadLetter, "source" | "seq">): Promise<DeadLetter[]> {
    return this.#run((session) => listDeadLetters(session, limit, after));
  }
  find(id: string): Promise<DeadLetter | undefined> {
    return this.#run((session) => findDeadLetter(session, id));
  }
  discard(id: string): Promise<boolean> {
    return this.#run((session) => discardDeadLetter(session, id));
  }
  async replay(id: string): Promise<string | undefined> {
    try {
      return await this.#transaction((session) => replayDeadLetter(session, id));
    } catch (error) {
      if (error instanceof RejectedRowError) await this.#run((session) => countAttempt(session, id, error));
      throw error;
    }
  }

  async latest(userId: string): Promise<Entry | undefined> {
    const read = () => this.#pool.read(this.#callLimitMs, (session) => latestEntry(session, userId));
    await this.#ready();
    try {
      return await read();
    } catch (error) {
      // A connection that the server had ended while it was idle: asking again does no harm, and is no reason for an error.
      if (!(error instanceof ConnectionLostError)) throw error;
      return await read();
    }
  }

  async ping(): Promise<void> {
    await this.#run((session) => session.query("select 1"));
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #run<T>(work: (session: Session) => Promise<T>): Promise<T> {
    await this.#ready();
    return await this.#pool.run(this.#callLimitMs, work).catch(rethrow);
  }

  async #transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    await this.#ready();
    return await this.#pool.transaction(this.#transactionLimitMs, work).catch(rethrow);
  }

  async #ready(): Promise<void> {
    if (this.#isPrepared) return;
    const waiting = `${this.#pool.describe()}, whose schema is being prepared,`;
    await withDeadline(this.#prepared(), this.#callLimitMs, waiting);
  }

  /** Made once; after a failure the next call tries again. */
  #prepared(): Promise<void> {
    return this.#schema ??= this.#prepare().catch((error) => {
      this.#schema = undefined;
      throw error;
    });
  }

  async #prepare(): Promise<void> {
    // A server that takes the connection and then says nothing is told from one that is busy with a long migration.
    await this.#pool.run(this.#callLimitMs, (session) => session.query("select 1"));
    await ensureSchema(this.#pool);
    this.#isPrepared = true;
  }
}

function rethrow(error: unknown): never {
  throw isRejection(error) ? new RejectedRowError(error.code, error.message, { cause: error }) : error;
}

/** Classes 22 (data exception) and 23 (integrity constraint): the row is at fault. All others may pass. */
function isRejection(error: unknown): error is pg.DatabaseError & { code: string } {
  return error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? "");
}

async function latestEntry(session: Session, userId: string): Promise<Entry | undefined> {
  const { rows: [row] } = await session.query<LatestRow>(LATEST, [userId]);
  return row && entryOf(userId, row);
}

/** Locks the mark, so that a repeat waits for a first try that is still running, and then finds everything below it. */
async function putEntries(session: Session, source: string, entries: readonly Entry[]): Promise<number> {
  const mark = await lockMark(session, source);
  const fresh = entries.filter(({ seq }) => seq > mark);
  const last = fresh.at(-1);
  if (last === undefined) return 0;
  await session.query(
    `insert into user_data (user_id, value, ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])`,
    [
      fresh.map((entry) => entry.userId),
      fresh.map((entry) => entry.value),
      fresh.map((entry) => entry.ts),
      fresh.map((entry) => entry.acceptedMs),
      fresh.map((entry) => entry.instance),
      fresh.map((entry) => entry.seq),
    ],
  );
  await moveMark(session, source, last.seq);
  return fresh.length;
}

async function buryEntry(session: Session, source: string, entry: Entry, reason: Rejection): Promise<void> {
  if (await lockMark(session, source) >= entry.seq) return;
  await buryDeadLetter(session, source, entry, reason);
  await moveMark(session, source, entry.seq);
}

/** The mark, locked until the end of the transaction. */
async function lockMark(session: Session, source: string): Promise<number> {
  // The journal forgets what was committed, so the commit has to be on disk; a stronger setting is kept.
  const { rows: [row] } = await session.query<{ seq: string }>(
    `select seq, set_config('synchronous_commit', case current_setting('synchronous_commit') when 'off' then 'on'
      else current_setting('synchronous_commit') end, true)
    from dsproxy_marks where source = $1 for update`,
    [source],
  );
  if (row === undefined) throw new Error(`The mark of ${source} is gone: was the database replaced?`);
  return Number(row.seq);
}

async function moveMark(session: Session, source: string, seq: number): Promise<void> {
  await session.query("update dsproxy_marks set seq = $2, updated_at = now() where source = $1", [source, seq]);
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
