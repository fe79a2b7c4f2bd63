/** Notes the numbers that are not in the store any more; it runs in the worker (worker.ts). */
import type { DatabaseSync } from "node:sqlite";
import type { WriteId } from "../../domain.ts";

/** It says why a number has neither row nor dead letter. */
export type GoneKind = "retired" | "discarded" | "withdrawn" | "accepted";

/**
 * Notes numbers; to note one again changes nothing. It belongs into the transaction that takes the
 * entries away. What others inserted has no number, and is passed over.
 */
export function noteGone(db: DatabaseSync, kind: GoneKind, gone: readonly WriteId[]): void {
  const note = db.prepare(
    "insert into dsproxy_gone (source, kind, seq) values (?, ?, ?) on conflict do nothing",
  );
  for (const { run, seq } of gone) if (run !== "" && seq > 0) note.run(run, kind, seq);
}
