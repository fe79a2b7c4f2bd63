/**
 * Notes the numbers that a source gave out and never brought, for the audit: they never became
 * durable, or a disk lost them. Most batches have none, and cost nothing.
 */
import pg from "pg";
import type { Interval } from "../../ports/group_store.ts";
import type { Transaction } from "./session.ts";

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
