/**
 * Is the store in PostgreSQL. It owns the statements on rows and marks; the database with its
 * schema (database.ts), what is refused (put.ts), the groups (groups.ts), the identity
 * (identity.ts) and the dead letters (dead_letters.ts) are next door.
 */
import type { Entry } from "../../domain.ts";
import type { PutResult, Store, StorePorts } from "../../ports/store.ts";
import { PostgresAudit } from "./audit.ts";
import { Database, type DatabaseOptions } from "./database.ts";
import { PostgresDeadLetterRetries } from "./dead_letter_retries.ts";
import { PostgresDeadLetterSweeps } from "./dead_letter_sweeps.ts";
import { PostgresDeadLetters } from "./dead_letters.ts";
import { PostgresGroups } from "./groups.ts";
import { identityOf } from "./identity.ts";
import { LookUps } from "./look_ups.ts";
import { PostgresRetention } from "./retention.ts";
import { PostgresIdentity } from "./store_identity.ts";
import { putOneByOne, putTogether } from "./put.ts";
import { inTransactionOrApart } from "./rows.ts";
import { PostgresTerms } from "./terms.ts";
import { PostgresLease } from "./lease.ts";
import { type Changes, withinTerm } from "./within_term.ts";

/** Makes the store, which does not connect before the first call; the server need not be up. */
export function createPostgresStore(
  options: DatabaseOptions,
): Required<StorePorts> {
  const database = new Database(options);
  return {
    store: new PostgresStore(database, options),
    identity: new PostgresIdentity(database),
    deadLetters: new PostgresDeadLetters(database),
    sweeps: new PostgresDeadLetterSweeps(database),
    groups: new PostgresGroups(database),
    terms: new PostgresTerms(database),
    lease: new PostgresLease(database),
    retention: new PostgresRetention(database),
    audit: new PostgresAudit(database),
    retries: new PostgresDeadLetterRetries(database),
    within: (term) => {
      const changes = withinTerm(database, term);
      const rows = new PostgresRows(changes, options.gate);
      const groups = new PostgresGroups(changes);
      return {
        open: (source) => rows.open(source),
        put: (...what) => rows.put(...what),
        apply: (brought) => groups.apply(brought),
        fold: (...what) => groups.fold(...what),
      };
    },
  };
}

/**
 * These are enough to tell a fault of the table from one of the rows, and few enough to cost
 * nothing.
 */
const NEIGHBOURS = 4;
/**
 * A neighbour's value has at most so many UTF-16 units, as neighbours are kept in memory, and
 * inserted on trial.
 */
const NEIGHBOUR_UNITS_MAX = 4_096;

/** Makes marks, and puts rows. */
class PostgresRows implements Pick<Store, "open" | "put"> {
  /** These rows went in last, and are kept as copies to try when none does. */
  #neighbours: readonly Entry[] = [];

  constructor(
    private readonly database: Changes,
    private readonly gate: DatabaseOptions["gate"],
  ) {}

  /**
   * Opens a source in one transaction, so that a pooler that allows none is found out at the start.
   */
  open(source: string): Promise<number> {
    return this.database.transaction(async (session) => {
      // A pooler may have changed servers behind a connection that lives on.
      await this.gate?.admit((await identityOf(session)).id);
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

  put(
    source: string,
    entries: readonly Entry[],
    confirmedSeq: number,
    onSent?: () => void,
    lostThroughSeq?: number,
  ): Promise<PutResult> {
    const batch = [source, entries, confirmedSeq] as const;
    return inTransactionOrApart(
      this.database,
      async (session) => {
        const result = await putTogether(session, ...batch, onSent, lostThroughSeq);
        if (result.rows === entries.length) {
          this.#neighbours = entries.slice(-NEIGHBOURS).filter(isSmall);
        }
        return result;
      },
      (session) => putOneByOne(session, ...batch, this.#neighbours, lostThroughSeq),
    );
  }
}

class PostgresStore extends PostgresRows implements Store {
  readonly #lookUps: LookUps;

  constructor(
    private readonly connected: Database,
    options: Pick<DatabaseOptions, "poolSize" | "gate">,
  ) {
    super(connected, options.gate);
    this.#lookUps = new LookUps(connected, Math.ceil(options.poolSize / 4));
  }

  marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return this.connected.read(async (session) => {
      const { rows } = await session.query<{ source: string; seq: string }>(
        "select source, seq from dsproxy_marks where source = any($1::text[])",
        [sources],
      );
      return new Map(rows.map(({ source, seq }) => [source, Number(seq)]));
    });
  }

  latest(userId: string): Promise<Entry | undefined> {
    return this.#lookUps.latest(userId);
  }

  async ping(): Promise<void> {
    await this.connected.run((session) => session.query("select 1"));
  }

  close(): Promise<void> {
    this.#lookUps.close();
    return this.connected.close();
  }
}

function isSmall({ value }: Entry): boolean {
  return value.length <= NEIGHBOUR_UNITS_MAX;
}
