/** Numbers the terms of leaders, in the one row of `dsproxy_leader`. */
import { TermOverError } from "../../errors.ts";
import type { Term, Terms } from "../../ports/terms.ts";
import type { Database } from "./database.ts";
import { SYNCHRONOUS } from "./safeguards.ts";
import type { Session } from "./session.ts";

export class PostgresTerms implements Terms {
  constructor(private readonly database: Pick<Database, "transaction" | "run">) {}

  /** It waits for whatever is being committed within the term before it. */
  begin(leader: string): Promise<Term> {
    return this.database.transaction(async (session) => {
      await session.query(`select ${SYNCHRONOUS}`);
      const { rows: [row] } = await session.query<{ term: string }>(
        "update dsproxy_leader set term = term + 1, leader = $1, began_at = now() returning term",
        [leader],
      );
      return { number: Number(row!.term), leader };
    });
  }

  confirm(term: Term): Promise<void> {
    return this.database.run((session) => compare(session, term, ""));
  }
}

/**
 * Has to be called first in a transaction: no other term begins before it has ended.
 * @throws TermOverError when another one has begun
 */
export function assertTerm(session: Session, term: Term): Promise<void> {
  return compare(session, term, "for share");
}

async function compare(
  session: Session,
  { number, leader }: Term,
  lock: "" | "for share",
): Promise<void> {
  const { rows: [row] } = await session.query<{ term: string; leader: string }>(
    `select term, leader from dsproxy_leader ${lock}`,
  );
  if (row !== undefined && Number(row.term) === number && row.leader === leader) return;
  throw new TermOverError(
    `The term ${number} is over: ${row?.leader || "nobody"} leads by the term ${row?.term ?? 0}`,
  );
}
