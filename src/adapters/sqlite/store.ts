/** Is the embedded store: SQLite, and what each port asks of it. */
import type { Entry } from "../../domain.ts";
import type { Audit, AuditedSource, Checked, SurveyedSource } from "../../ports/audit.ts";
import type {
  DeadLetterRetries,
  DueLetter,
  DueLetters,
  LetterPlace,
} from "../../ports/dead_letter_retries.ts";
import type { DeadLetterSweeps, Swept } from "../../ports/dead_letter_sweeps.ts";
import type {
  DeadLetter,
  DeadLetters,
  LetterFilter,
  LetterSurvey,
  Reason,
} from "../../ports/dead_letters.ts";
import type { Retention, Retired } from "../../ports/retention.ts";
import type { Interval } from "../../ports/group_store.ts";
import type { PutResult, Store, StorePorts } from "../../ports/store.ts";
import type { Identity, StoreIdentity } from "../../ports/store_identity.ts";
import type { Term } from "../../ports/terms.ts";
import { columnsOf } from "./columns.ts";
import { SqliteDatabase, type SqliteOptions } from "./database.ts";

/** Makes the store, which does not touch the file before the first call. */
export function createSqliteStore(options: SqliteOptions): StorePorts {
  const database = new SqliteDatabase(options);
  return {
    store: new SqliteStore(database),
    identity: new SqliteIdentity(database),
    deadLetters: new SqliteDeadLetters(database),
    sweeps: new SqliteDeadLetterSweeps(database),
    retention: new SqliteRetention(database),
    audit: new SqliteAudit(database),
    retries: new SqliteDeadLetterRetries(database),
  };
}

class SqliteStore implements Store {
  constructor(private readonly database: SqliteDatabase) {}

  async open(source: string): Promise<number> {
    return await this.database.call({ call: "open", source }) as number;
  }

  async put(
    source: string,
    entries: readonly Entry[],
    confirmedSeq: number,
    onSent: () => void = () => {},
    lostThroughSeq?: number,
  ): Promise<PutResult> {
    const batch = { source, entries: columnsOf(entries), confirmedSeq, lostThroughSeq };
    const answer = this.database.call({ call: "put", ...batch });
    onSent();
    return await answer as PutResult;
  }

  async marks(sources: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return await this.database.call({ call: "marks", sources }) as ReadonlyMap<string, number>;
  }

  async latest(userId: string): Promise<Entry | undefined> {
    return await this.database.call({ call: "latest", userId }) as Entry | undefined;
  }

  async ping(): Promise<void> {
    await this.database.call({ call: "ping" });
  }

  close(): Promise<void> {
    return this.database.close();
  }
}

class SqliteIdentity implements StoreIdentity {
  constructor(private readonly database: SqliteDatabase) {}

  async identify(): Promise<Identity> {
    return await this.database.call({ call: "identify" }) as Identity;
  }

  async outdateCopies(): Promise<Identity> {
    return await this.database.call({ call: "outdateCopies" }) as Identity;
  }
}

class SqliteDeadLetters implements DeadLetters {
  constructor(private readonly database: SqliteDatabase) {}

  async count(): Promise<number> {
    return await this.database.call({ call: "count" }) as number;
  }

  async survey(filter: LetterFilter, reasonsMax: number): Promise<LetterSurvey> {
    const call = "surveyLetters";
    return await this.database.call({ call, filter, reasonsMax }) as LetterSurvey;
  }

  async list(
    limit: number,
    after?: Pick<DeadLetter, "source" | "seq">,
    filter?: LetterFilter,
  ): Promise<DeadLetter[]> {
    return await this.database.call({ call: "list", limit, after, filter }) as DeadLetter[];
  }

  async reasons(): Promise<readonly Reason[]> {
    return await this.database.call({ call: "reasons" }) as Reason[];
  }

  async find(id: string): Promise<DeadLetter | undefined> {
    return await this.database.call({ call: "find", writeId: id }) as DeadLetter | undefined;
  }

  async replay(id: string): Promise<Entry | undefined> {
    return await this.database.call({ call: "replay", writeId: id }) as Entry | undefined;
  }

  async discard(id: string): Promise<boolean> {
    return await this.database.call({ call: "discard", writeId: id }) as boolean;
  }
}

class SqliteDeadLetterSweeps implements DeadLetterSweeps {
  constructor(private readonly database: SqliteDatabase) {}

  async replaySome(filter: LetterFilter, limit: number, from?: LetterPlace): Promise<Swept> {
    return await this.database.call({ call: "replaySome", filter, limit, from }) as Swept;
  }

  async discardSome(filter: LetterFilter, limit: number, from?: LetterPlace): Promise<Swept> {
    return await this.database.call({ call: "discardSome", filter, limit, from }) as Swept;
  }
}

class SqliteRetention implements Retention {
  constructor(private readonly database: SqliteDatabase) {}

  async retire(
    _term: Term | undefined,
    olderThanTs: number,
    limit: number,
    from?: string,
  ): Promise<Retired> {
    return await this.database.call({ call: "retire", olderThanTs, limit, from }) as Retired;
  }
}

class SqliteAudit implements Audit {
  constructor(private readonly database: SqliteDatabase) {}

  async survey(): Promise<readonly SurveyedSource[]> {
    return await this.database.call({ call: "survey" }) as readonly SurveyedSource[];
  }

  async check(source: string, first: number, last: number): Promise<Checked> {
    return await this.database.call({ call: "check", source, first, last }) as Checked;
  }

  async strays(source: string, limit: number): Promise<readonly number[]> {
    return await this.database.call({ call: "strays", source, limit }) as readonly number[];
  }

  async accept(source: string, gap: Interval, reason: string): Promise<number> {
    return await this.database.call({ call: "accept", source, gap, reason }) as number;
  }

  /** There is no index by numbers: each look reads the whole table, and flushes wait for it. */
  samples(): Promise<readonly AuditedSource[]> {
    return Promise.resolve([]);
  }
}

class SqliteDeadLetterRetries implements DeadLetterRetries {
  constructor(private readonly database: SqliteDatabase) {}

  async due(agesMs: readonly number[], limit: number, from?: LetterPlace): Promise<DueLetters> {
    return await this.database.call({ call: "due", agesMs, limit, from }) as DueLetters;
  }

  async retry(_term: Term | undefined, letter: DueLetter): Promise<Entry | undefined> {
    return await this.database.call({ call: "retry", letter }) as Entry | undefined;
  }
}
