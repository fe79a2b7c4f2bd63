/**
 * Notes the numbers that a source gave out and never brought, for the audit: they never became
 * durable, or a disk lost them. Most batches have none, and cost nothing.
 */
import pg from "pg";
import type { Entry } from "../../domain.ts";
import type { Interval } from "../../ports/group_store.ts";
import type { Transaction } from "./session.ts";

/** Returns which numbers from `first` through `last` have no entry; these ascend by `seq`. */
export function gapsIn(entries: readonly Entry[], first: number, last: number): Interval[] {
  if (entries.length === last - first + 1) return [];
  const gaps: Interval[] = [];
  let next = first;
  for (const { seq } of entries) {
    if (seq > next) gaps.push({ first: next, last: seq - 1 });
    next = seq + 1;
  }
  if (next <= last) gaps.push({ first: next, last });
  return gaps;
}

/** They are noted in the transaction that lets the store go on behind them. */
export function noteGaps(
  transaction: Pick<Transaction, "atEnd">,
  source: string,
  gaps: readonly Interval[],
): void {
  if (gaps.length === 0) return;
  const values = gaps.map(({ first, last }) =>
    `(${pg.escapeLiteral(source)}, 'withdrawn', ${first}, ${last})`
  );
  transaction.atEnd(
    `insert into dsproxy_audit_notes (source, kind, first, last) values ${values.join(", ")}
     on conflict (source, kind, first) do update
       set last = greatest(dsproxy_audit_notes.last, excluded.last)`,
  );
}
