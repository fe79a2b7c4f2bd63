/**
 * Looks up the latest entries of users: those that are asked for at the same time are asked for in
 * one statement, as the way to the server and back, and planning, cost more than the look into the
 * index.
 */
import { setImmediate } from "node:timers";
import { CommonDeadline, lateError } from "../../deadline.ts";
import type { Entry } from "../../domain.ts";
import { StoreRefusesError, StoreUnavailableError } from "../../errors.ts";
import { systemClock } from "../../ports/clock.ts";
import type { Database } from "./database.ts";
import { INDEXED_KEY_BYTES } from "./ddl.ts";
import { ENTRY_COLUMNS, entryOf, type EntryRow, NEWEST_FIRST } from "./user_data.ts";

/** One statement looks up at most so many users. */
const USERS_MAX = 64;
/**
 * A statement is to take less, so that nobody waits long for his neighbours. Where it takes more,
 * as in a large table whose index is not there yet, the next one has half as many users.
 */
const STATEMENT_MS = 20;

const latestOf = (userId: string) =>
  `select ${ENTRY_COLUMNS} from user_data
  where user_id = ${userId} and octet_length(user_id) <= ${INDEXED_KEY_BYTES} and value is not null
  order by ${NEWEST_FIRST} limit 1`;

const LATEST = latestOf("$1");
/**
 * Each user's row is looked up by itself, as a limit of one leaves no other way. What is asked for
 * has the type `text`: of two collations the column's holds, as that of a parameter is no more than
 * a default. Planning takes longer than for {@link LATEST}.
 */
const LATEST_OF_EACH = `select found.*, place
  from unnest($1::text[]) with ordinality as wanted (id, place)
  cross join lateral (${latestOf("wanted.id")}) as found`;

interface Row extends EntryRow {
  /** It counts from 1; it is not there when one user was asked for. */
  readonly place?: string;
}

interface Waiting {
  readonly userId: string;
  readonly resolve: (entry: Entry | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class LookUps {
  #waiting: Waiting[] = [];
  #underWay = 0;
  #isGathering = false;
  #usersMax = 1;
  readonly #limit: CommonDeadline;

  /** @param statementsMax so many statements are under way at the same time */
  constructor(private readonly database: Database, private readonly statementsMax: number) {
    this.#limit = new CommonDeadline(
      database.callLimitMs,
      systemClock,
      () => new StoreUnavailableError(lateError(database.describe(), database.callLimitMs).message),
    );
  }

  /** Returns the newest entry of a user. @throws StoreError */
  latest(userId: string): Promise<Entry | undefined> {
    const found = new Promise<Entry | undefined>((resolve, reject) => {
      this.#waiting.push({ userId, resolve, reject });
      this.#gather();
    });
    return this.#limit.within(found);
  }

  /** Lets whatever still waits wait without an end: it is rejected when its statement is. */
  close(): void {
    this.#limit.stop();
  }

  /** Those who ask in the same turn of the event loop are asked for together. */
  #gather(): void {
    if (this.#isGathering) return;
    this.#isGathering = true;
    setImmediate(() => {
      this.#isGathering = false;
      this.#send();
    });
  }

  #send(): void {
    while (this.#waiting.length > 0 && this.#underWay < this.statementsMax) {
      const batch = this.#waiting.splice(0, this.#usersMax);
      this.#underWay++;
      void this.#answer(batch).finally(() => {
        this.#underWay--;
        this.#send();
      });
    }
  }

  /** It never rejects. */
  async #answer(batch: readonly Waiting[]): Promise<void> {
    const startedMs = performance.now();
    try {
      const found = await this.#ask(batch.map(({ userId }) => userId));
      batch.forEach(({ resolve }, i) => resolve(found[i]));
    } catch (error) {
      // One row that is damaged, or takes long, is not to keep its neighbours from being read.
      if (batch.length > 1 && isAboutRows(error)) {
        await Promise.all(batch.map((waiting) => this.#answer([waiting])));
      } else for (const { reject } of batch) reject(error);
    }
    const isQuick = performance.now() - startedMs < STATEMENT_MS;
    this.#usersMax = isQuick
      ? Math.min(USERS_MAX, this.#usersMax * 2)
      : Math.ceil(this.#usersMax / 2);
  }

  #ask(userIds: readonly string[]): Promise<(Entry | undefined)[]> {
    return this.database.read(async (session) => {
      const { rows } = userIds.length === 1
        ? await session.query<Row>(LATEST, userIds)
        : await session.query<Row>(LATEST_OF_EACH, [userIds]);
      const found = new Array<Entry | undefined>(userIds.length);
      for (const row of rows) {
        const place = Number(row.place ?? 1) - 1;
        // It is who was asked for, though a collation of the column may take other spellings for
        // the same.
        found[place] = { ...entryOf(row), userId: userIds[place]! };
      }
      return found;
    });
  }
}

function isAboutRows(error: unknown): boolean {
  return error instanceof StoreRefusesError ||
    error instanceof StoreUnavailableError && /^(XX|57014)/.test(error.code ?? "");
}
