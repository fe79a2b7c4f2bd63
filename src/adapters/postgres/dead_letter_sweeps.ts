/** Replays and discards many dead letters in PostgreSQL, each part in one transaction. */
import { type ValuelessEntry, writeId } from "../../domain.ts";
import { RejectedRowError } from "../../errors.ts";
import type { LetterPlace } from "../../ports/dead_letter_retries.ts";
import type { DeadLetterSweeps, Swept } from "../../ports/dead_letter_sweeps.ts";
import type { LetterFilter } from "../../ports/dead_letters.ts";
import type { Database } from "./database.ts";
import { filterCondition, filterParameters } from "./dead_letter_filter.ts";
import { replayOrCount, RowVanishesError } from "./dead_letters.ts";
import { noteEachGone } from "./gone.ts";
import type { Session } from "./session.ts";
import { isRefusal } from "./sql_state.ts";
import { COLUMN_NAMES } from "./user_data.ts";

/** A part looks at so many at most, few of which the filter may mean: it is always short. */
const LOOKED_AT_MAX = 10_000;
/** The server has the values of one transaction in memory. */
const VALUES_BYTES_MAX = 4 * 1024 * 1024;
/** One by one they take longer than together: the rest waits for the next part after this. */
const ONE_BY_ONE_LIMIT_MS = 2_000;

export class PostgresDeadLetterSweeps implements DeadLetterSweeps {
  constructor(
    private readonly database: Pick<Database, "transaction" | "transactionOr">,
    private readonly lookedAtMax = LOOKED_AT_MAX,
  ) {}

  async replaySome(filter: LetterFilter, limit: number, from?: LetterPlace): Promise<Swept> {
    // What was found is needed where the transaction fails, too.
    let found: Part = { letters: [], next: undefined };
    const areIn = await this.database.transactionOr(
      async (session) => {
        found = await this.#find(session, filter, limit, from);
        await replayTogether(session, found.letters);
        return true;
      },
      (error) => {
        if (!isRefusal(error) && !(error instanceof RowVanishesError)) throw error;
        return Promise.resolve(false);
      },
    );
    return areIn ? sweptOf(found) : await this.#replayOneByOne(found);
  }

  discardSome(filter: LetterFilter, limit: number, from?: LetterPlace): Promise<Swept> {
    return this.database.transaction(async (session) => {
      const found = await this.#find(session, filter, limit, from);
      await session.query(REMOVE, placesOf(found.letters));
      await noteEachGone(session, "discarded", found.letters);
      return sweptOf(found);
    });
  }

  /** One of them at least is refused again, and each is to be told from its neighbours. */
  async #replayOneByOne({ letters, next }: Part): Promise<Swept> {
    const giveUpAt = performance.now() + ONE_BY_ONE_LIMIT_MS;
    const done: Letter[] = [];
    let refused = 0;
    for (const letter of letters) {
      if (performance.now() > giveUpAt) {
        return sweptOf({ letters: done, next: placeBefore(letter) }, refused);
      }
      try {
        if (await replayOrCount(this.database, writeId(letter), 0) !== undefined) done.push(letter);
      } catch (error) {
        if (!(error instanceof RejectedRowError)) throw error;
        refused++;
      }
    }
    return sweptOf({ letters: done, next }, refused);
  }

  /** Finds those of the next part, which are locked in their order until the transaction ends. */
  async #find(
    session: Session,
    filter: LetterFilter,
    limit: number,
    { source, seq }: LetterPlace = { source: "", seq: 0 },
  ): Promise<Part> {
    const { rows: [end] } = await session.query<PlaceRow>(
      `select source, seq from dsproxy_dead_letters where (source, seq) > ($1, $2)
       order by source, seq offset ${this.lookedAtMax - 1} limit 1`,
      [source, seq],
    );
    const { rows } = await session.query<LetterRow>(FIND, [
      source,
      seq,
      end?.source ?? null,
      end?.seq ?? null,
      limit,
      ...filterParameters(filter),
    ]);
    const letters = withinBytes(rows).map(letterOf);
    const last = letters.length < rows.length || letters.length === limit
      ? letters.at(-1)
      : end && { source: end.source, seq: Number(end.seq) };
    return { letters, next: last && { source: last.source, seq: last.seq } };
  }
}

interface PlaceRow {
  readonly source: string;
  readonly seq: string;
}

interface LetterRow extends PlaceRow {
  readonly user_id: string;
  readonly ts: string;
  readonly accepted_ms: string;
  readonly instance: string;
  readonly bytes: number;
}

interface Letter extends ValuelessEntry {
  readonly source: string;
}

interface Part {
  readonly letters: readonly Letter[];
  readonly next: LetterPlace | undefined;
}

const FIND = `
select source, seq, user_id, ts, accepted_ms, instance, octet_length(value) as bytes
from dsproxy_dead_letters
where (source, seq) > ($1, $2) and ($3::text is null or (source, seq) <= ($3, $4::bigint))
  and ${filterCondition(6)}
order by source, seq limit $5 for update`;

const REMOVE = `
delete from dsproxy_dead_letters
where (source, seq) in (select * from unnest($1::text[], $2::bigint[]))`;

const REPLAY = `
with letters as (${REMOVE} returning *),
stored as (insert into user_data (${COLUMN_NAMES})
  select user_id, value, ts, accepted_ms, instance, seq from letters order by source, seq
  returning 1)
select count(*)::int as inserted from stored`;

/** Puts the entries in as rows, all of them or none. */
async function replayTogether(session: Session, letters: readonly Letter[]): Promise<void> {
  const { rows: [row] } = await session.query<{ inserted: number }>(REPLAY, placesOf(letters));
  if (row!.inserted < letters.length) throw new RowVanishesError();
}

function placesOf(letters: readonly Letter[]): [string[], number[]] {
  return [letters.map(({ source }) => source), letters.map(({ seq }) => seq)];
}

/** Behind it comes this letter. */
function placeBefore({ source, seq }: Letter): LetterPlace {
  return { source, seq: seq - 1 };
}

function withinBytes(rows: readonly LetterRow[]): readonly LetterRow[] {
  let bytes = 0;
  const end = rows.findIndex((row, i) => (bytes += row.bytes) > VALUES_BYTES_MAX && i > 0);
  return end < 0 ? rows : rows.slice(0, end);
}

function sweptOf({ letters, next }: Part, refused = 0): Swept {
  const done = letters.map(({ source: _, ...entry }) => entry);
  return { done, refused, ...(next !== undefined && { next }) };
}

function letterOf({ source, user_id, ts, accepted_ms, instance, seq }: LetterRow): Letter {
  return {
    source,
    userId: user_id,
    ts: Number(ts),
    acceptedMs: Number(accepted_ms),
    run: instance,
    seq: Number(seq),
  };
}
