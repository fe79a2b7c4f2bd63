/**
 * Notes the numbers whose entries are not in the store any more, or never come there, in the table
 * `dsproxy_gone`, a bit a number: whoever compares numbers with rows can tell what was taken away
 * from what was lost.
 */
import type { WriteId } from "../../domain.ts";
import { GONE_BLOCK } from "./migrations.ts";
import type { Session } from "./session.ts";

/** It says why a number has neither row nor dead letter. */
export type GoneKind = "retired" | "discarded" | "withdrawn" | "accepted";

/** Notes numbers of one source, as {@link noteEachGone} does. */
export async function noteGone(
  session: Session,
  kind: GoneKind,
  source: string,
  numbers: readonly number[],
): Promise<void> {
  await noteEachGone(session, kind, numbers.map((seq) => ({ run: source, seq })));
}

/** The keys are inserted in order, so that no two of these wait for each other. */
const NOTE = `
insert into dsproxy_gone (source, kind, block, numbers)
select source, $1, seq / ${GONE_BLOCK},
  bit_or(set_bit(0::bit(${GONE_BLOCK}), (seq % ${GONE_BLOCK})::int, 1))
from unnest($2::text[], $3::bigint[]) as gone (source, seq)
group by source, seq / ${GONE_BLOCK}
order by source, seq / ${GONE_BLOCK}
on conflict (source, kind, block)
  do update set numbers = dsproxy_gone.numbers | excluded.numbers`;

/**
 * Notes numbers of many sources at once; to note one again changes nothing. It belongs into the
 * transaction that takes the entries away. What others inserted has no number, and is passed over.
 */
export async function noteEachGone(
  session: Session,
  kind: GoneKind,
  gone: readonly WriteId[],
): Promise<void> {
  const numbered = gone.filter(({ run, seq }) => run !== "" && seq > 0);
  if (numbered.length === 0) return;
  await session.query(NOTE, [
    kind,
    numbered.map(({ run }) => run),
    numbered.map(({ seq }) => seq),
  ]);
}
