/** Tries dead letters again in PostgreSQL, as the leader. */
import { type Entry, writeId } from "../../domain.ts";
import {
  type DeadLetterRetries,
  dueAmong,
  type DueLetter,
  type DueLetters,
  type LetterPlace,
} from "../../ports/dead_letter_retries.ts";
import type { Term } from "../../ports/terms.ts";
import type { Database } from "./database.ts";
import { replayOrCount } from "./dead_letters.ts";
import type { Session } from "./session.ts";
import { assertTerm } from "./terms.ts";

/** A call looks at so many, few of which may be due. */
const LOOKED_AT_MAX = 1_000;

const PAGE = `
select source, user_id, ts, accepted_ms, instance, seq, attempts, (
  select count(*)::int from unnest($3::float8[]) as age
  where failed_at + age * interval '1 millisecond' <= now()) as passed
from dsproxy_dead_letters
where (source, seq) > ($1, $2) order by source, seq limit ${LOOKED_AT_MAX}`;

interface Row {
  readonly source: string;
  readonly user_id: string;
  readonly ts: string;
  readonly accepted_ms: string;
  readonly instance: string;
  readonly seq: string;
  readonly attempts: number;
  readonly passed: number;
}

export class PostgresDeadLetterRetries implements DeadLetterRetries {
  constructor(private readonly database: Pick<Database, "read" | "transactionOr">) {}

  async due(
    agesMs: readonly number[],
    limit: number,
    { source, seq }: LetterPlace = { source: "", seq: 0 },
  ): Promise<DueLetters> {
    const { rows } = await this.database.read((session) =>
      session.query<Row>(PAGE, [source, seq, agesMs])
    );
    return dueAmong(rows.map(letterOf), limit, LOOKED_AT_MAX);
  }

  async retry(
    term: Term | undefined,
    letter: DueLetter,
  ): Promise<Entry | undefined> {
    if (term === undefined) throw new Error("PostgreSQL has terms, and a retry needs one");
    const begin = (session: Session) => assertTerm(session, term);
    return await replayOrCount(this.database, writeId(letter), letter.passedAges, begin);
  }
}

function letterOf({ source, user_id, ts, accepted_ms, instance, seq, attempts, passed }: Row) {
  return {
    source,
    attempts,
    userId: user_id,
    ts: Number(ts),
    acceptedMs: Number(accepted_ms),
    run: instance,
    seq: Number(seq),
    passedAges: passed,
  };
}
