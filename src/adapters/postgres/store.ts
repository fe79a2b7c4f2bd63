/**
 * The store in PostgreSQL. Owns the statements on rows and marks; connections (pool.ts), schema
 * (schema.ts), what is refused (put.ts) and the dead letters (dead_letters.ts) are next door.
 */
import { withDeadline } from "../../deadline.ts";
import type { Entry } from "../../domain.ts";
import { RejectedRowError, StoreRefusesError, StoreWentBackError } from "../../errors.ts";
import type { DeadLetter, DeadLetters } from "../../ports/dead_letters.ts";
import type { PutResult, Store } from "../../ports/store.ts";
import type { Identity, StoreIdentity } from "../../ports/store_identity.ts";
import {
  countAttempt,
  countDeadLetters,
  discardDeadLetter,
  findDeadLetter,
  listDeadLetters,
  replayDeadLetter,
} from "./dead_letters.ts";
import { ConnectError } from "./connect.ts";
import { ConnectionLostError } from "./connection.ts";
import { pause } from "./pause.ts";
import { createPool, type Pool, type PoolOptions } from "./pool.ts";
import { putOneByOne, putTogether, RowsVanishedError } from "./put.ts";
import { INDEXED_KEY_BYTES } from "./ddl.ts";
import { findIdentity, type IdentityGate, identityOf, refuseHidden } from "./identity.ts";
import { ensureIndex } from "./latest_index.ts";
import { ensureTables } from "./schema.ts";
import type { Session } from "./session.ts";
import { isRefusal, isSchemaGone } from "./sql_state.ts";

export interface PostgresStoreOptions extends Omit<PoolOptions, "admit">, StoreWatcher {
  /** How long a statement may take; default 5 s. A call waits a little longer. */
  readonly callTimeoutMs?: number;
}

export interface StoreWatcher {
  readonly gate?: IdentityGate;
  /** Told when the index of the latest entries cannot be made for now; it is tried again. */
  readonly onIndexFault?: (error: unknown) => void;
}

/** Does not connect before the first call; the server need not be up. */
export function createPostgresStore(
  options: PostgresStoreOptions,
): Store & StoreIdentity & DeadLetters {
  return new PostgresStore(options);
}

const DEFAULT_CALL_TIMEOUT_MS = 5_000;
/**
 * The server ends a statement that takes too long by itself; only silence beyond that means that it
 * is gone.
 */
const GRACE_MS = 1_000;
const INDEX_RETRY_MS = 300_000;
const NEIGHBOURS = 4;

interface LatestRow {
  readonly value: string;
  readonly ts: string | null;
  readonly accepted_ms: string;
  readonly instance: string;
  readonly seq: string;
}

const LATEST = `
  select value, ts, dsproxy_accepted_ms as accepted_ms, dsproxy_instance as instance, dsproxy_seq as seq from user_data
  where user_id = $1 and octet_length(user_id) <= ${INDEXED_KEY_BYTES} and value is not null
  order by ts desc nulls last, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc limit 1`;

class PostgresStore implements Store, StoreIdentity, DeadLetters {
  readonly #callLimitMs: number;
  /** A transaction is a few statements, each of which may take its time. */
  readonly #transactionLimitMs: number;
  readonly #poolOptions: PoolOptions;
  readonly #pool: Pool;
  #ready: Promise<void> | undefined;
  /** Of the database that was made ready. */
  #identity: string | undefined;
  #indexing: Promise<void> | undefined;
  /** Rows that went in last, as copies to try when none does. */
  #neighbours: readonly Entry[] = [];
  readonly #closing = new AbortController();

  constructor(private readonly options: PostgresStoreOptions) {
    const callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#callLimitMs = callTimeoutMs + GRACE_MS;
    this.#transactionLimitMs = 2 * callTimeoutMs + GRACE_MS;
    this.#poolOptions = { ...options, admit: (session) => this.#admit(session) };
    this.#pool = createPool(this.#poolOptions);
  }

  /** As one transaction, so that a pooler that allows none is found out at the start. */
  open(source: string): Promise<number> {
    return this.#transaction(async (session) => {
      // A pooler may have changed servers behind a connection that lives on.
      await this.options.gate?.admit((await identityOf(session)).id);
      await session.query(
        "insert into dsproxy_marks (source, seq) values ($1, 0) on conflict do nothing",
        [source],
      );
      const { rows: [row] } = await session.query<{ seq: string }>(
        "select seq from dsproxy_marks where source = $1",
        [source],
      );
      return Number(row!.seq);
    });
  }

  put(source: string, entries: readonly Entry[], confirmedSeq: number): Promise<PutResult> {
    const limitMs = this.#transactionLimitMs;
    return this.#call(async () => {
      try {
        const put = (session: Session) => putTogether(session, source, entries, confirmedSeq);
        const result = await this.#pool.transaction(limitMs, put);
        if (result.rows === entries.length) {
          this.#neighbours = entries.slice(-NEIGHBOURS).filter(isSmall);
        }
        return result;
      } catch (error) {
        if (!isRefusal(error) && !(error instanceof RowsVanishedError)) throw error;
        const put = (session: Session) =>
          putOneByOne(session, source, entries, confirmedSeq, this.#neighbours);
        return await this.#pool.transaction(limitMs, put);
      }
    });
  }

  marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.#run(async (session) => {
      const { rows } = await session.query<{ source: string; seq: string }>(
        "select source, seq from dsproxy_marks where source = any($1::text[])",
        [sources],
      );
      return new Map(rows.map(({ source, seq }) => [source, Number(seq)]));
    });
  }

  latest(userId: string): Promise<Entry | undefined> {
    const read = () =>
      this.#pool.read(this.#callLimitMs, (session) => latestEntry(session, userId));
    return this.#call(async () => {
      try {
        return await read();
      } catch (error) {
        // A connection that the server had ended while it was idle: asking again does no harm, and
        // is no reason for an error.
        if (!(error instanceof ConnectionLostError)) throw error;
        return await read();
      }
    });
  }

  identify(): Promise<Identity> {
    return this.#run(identityOf);
  }

  outdateCopies(): Promise<Identity> {
    return this.#run(async (session) => {
      await session.query("update dsproxy_store set cache_generation = $1", [
        crypto.randomUUID().slice(0, 8),
      ]);
      return await identityOf(session);
    });
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

  replay(id: string): Promise<Entry | undefined> {
    return this.#call(async () => {
      try {
        return await this.#pool.transaction(
          this.#transactionLimitMs,
          (session) => replayDeadLetter(session, id),
        );
      } catch (error) {
        if (!isRefusal(error)) throw error;
        const { code, message } = error;
        await this.#pool.run(
          this.#callLimitMs,
          (session) => countAttempt(session, id, { code, message }),
        );
        throw new RejectedRowError(code, message, { cause: error });
      }
    });
  }

  async ping(): Promise<void> {
    await this.#run((session) => session.query("select 1"));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#pool.close();
    await this.#indexing;
  }

  #run<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#call(() => this.#pool.run(this.#callLimitMs, work));
  }

  #transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#call(() => this.#pool.transaction(this.#transactionLimitMs, work));
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing.signal.aborted) throw new Error("The PostgreSQL store is closed");
    try {
      await withDeadline(
        this.#prepared(),
        this.#callLimitMs,
        `${this.#pool.describe()}, whose schema is being prepared,`,
      );
      return await work();
    } catch (error) {
      if (isSchemaGone(error) || error instanceof StoreWentBackError) this.#ready = undefined;
      throw this.#explained(error);
    }
  }

  /** A login that is refused, too, is an answer that only a person can change. */
  #explained(error: unknown): unknown {
    if (isRefusal(error)) {
      return new StoreRefusesError(error.code, `${this.#pool.describe()}: ${error.message}`, {
        cause: error,
      });
    }
    const loginRefused = error instanceof ConnectError &&
      /^(28|3D000$|42501$)/.test(error.code ?? "");
    return loginRefused
      ? new StoreRefusesError(error.code!, error.message, { cause: error })
      : error;
  }

  /**
   * Once; and again after a failure, or when a connection leads to another database than the last
   * one.
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
    const { id } = await this.#pool.transaction(this.#callLimitMs, identityOf);
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
    const pool = createPool({ ...this.#poolOptions, poolSize: 2 });
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

async function latestEntry(session: Session, userId: string): Promise<Entry | undefined> {
  const { rows: [row] } = await session.query<LatestRow>(LATEST, [userId]);
  return row && entryOf(userId, row);
}

function isSmall({ value }: Entry): boolean {
  return value.length <= 4_096;
}

function entryOf(userId: string, row: LatestRow): Entry {
  return {
    userId,
    value: row.value,
    ts: Number(row.ts ?? 0),
    acceptedMs: Number(row.accepted_ms),
    run: row.instance,
    seq: Number(row.seq),
  };
}
