/**
 * Puts rows, dead letters and the mark of a source, in one transaction. A batch that the database
 * refuses is taken apart on the server: what goes in goes in, and what is refused again when all
 * others have had their turn is a dead letter.
 */
import pg from "pg";
import { type Entry, withdrawnIn } from "../../domain.ts";
import { StoreWentBackError } from "../../errors.ts";
import type { RefusedEntry } from "../../ports/dead_letters.ts";
import type { PutResult } from "../../ports/store.ts";
import { buryDeadLetters, deadAmong } from "./dead_letters.ts";
import { noteGaps } from "./gaps.ts";
import { insertOneByOne, insertTogether } from "./rows.ts";
import { SYNCHRONOUS, TAKES_COPY } from "./safeguards.ts";
import type { Session, Transaction } from "./session.ts";

/**
 * Brings all rows in with one statement. Has to be called in a transaction. @throws the driver's
 * DatabaseError when one is refused, or RowsVanishedError
 */
export async function putTogether(
  transaction: Transaction,
  source: string,
  entries: readonly Entry[],
  confirmedSeq: number,
  onSent?: () => void,
  lostThroughSeq?: number,
): Promise<PutResult> {
  const { mark, takesCopy } = await lockMark(transaction, source, confirmedSeq);
  const fresh = freshOf(entries, mark);
  if (fresh.length > 0) {
    await insertTogether(transaction, fresh, takesCopy, onSent);
    transaction.atEnd(moveMark(source, fresh.at(-1)!.seq));
    noteGaps(transaction, source, withdrawnIn(fresh, mark, lostThroughSeq));
  }
  // Part of the batch was here before: who sent it may not have heard what became of it.
  const dead = fresh.length === entries.length ? [] : await deadOf(transaction, source, entries);
  return { rows: fresh.length, dead };
}

/** Returns the entries above the mark, which most often are all. */
function freshOf(entries: readonly Entry[], mark: number): readonly Entry[] {
  return entries[0]!.seq > mark ? entries : entries.filter(({ seq }) => seq > mark);
}

/**
 * Tries each row on its own, where together they were refused. Has a transaction of its own.
 * @param neighbours rows that went in a moment ago
 * @throws StoreRefusesError when the table takes no row at all; the driver's DatabaseError for what
 *   may pass
 */
export async function putOneByOne(
  session: Transaction,
  source: string,
  entries: readonly Entry[],
  confirmedSeq: number,
  neighbours: readonly Entry[],
  lostThroughSeq?: number,
): Promise<PutResult> {
  // A deferred constraint would speak up at the end only, and then against all of them.
  await session.query("set constraints all immediate");
  const { mark } = await lockMark(session, source, confirmedSeq);
  const fresh = freshOf(entries, mark);
  const refused = await insertOneByOne(session, fresh, neighbours);
  await buryDeadLetters(session, source, fresh, refused);
  if (fresh.length > 0) {
    session.atEnd(moveMark(source, fresh.at(-1)!.seq));
    noteGaps(session, source, withdrawnIn(fresh, mark, lostThroughSeq));
  }
  return { rows: fresh.length - refused.length, dead: await deadOf(session, source, entries) };
}

interface Locked {
  readonly mark: number;
  readonly takesCopy: boolean;
}

/**
 * Reads the mark and locks it until the end of the transaction, so that a repeat waits for a first
 * try and finds everything below it. It is the strongest of locks: groups.ts waits for no other.
 * It has no parameters, so as to go out with what begins the transaction.
 */
async function lockMark(session: Session, source: string, confirmedSeq: number): Promise<Locked> {
  const { rows: [row] } = await session.query<{ seq: string; takes_copy: boolean }>(
    `select seq, ${SYNCHRONOUS}, ${TAKES_COPY}
     from dsproxy_marks where source = ${pg.escapeLiteral(source)} for update`,
  );
  const mark = row === undefined ? 0 : Number(row.seq);
  if (row === undefined || mark < confirmedSeq) {
    throw new StoreWentBackError(
      `The mark of ${source} is ${row && mark}, though ${confirmedSeq} had been confirmed`,
    );
  }
  return { mark, takesCopy: row.takes_copy };
}

/** Returns the statement that moves the mark, which is locked. */
export function moveMark(source: string, seq: number): string {
  return `update dsproxy_marks set seq = ${seq}, updated_at = now()
    where source = ${pg.escapeLiteral(source)}`;
}

function deadOf(
  session: Session,
  source: string,
  entries: readonly Entry[],
): Promise<RefusedEntry[]> {
  return deadAmong(session, source, entries[0]!.seq, entries.at(-1)!.seq);
}
