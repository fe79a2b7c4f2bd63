/**
 * Finds the rows that retention may delete. It goes from user to user through the index of the
 * latest entries, whose order it keeps, and so looks at no row that it does not need: one look for
 * the next user, one for the row that is kept, and then only rows that go.
 */
import { INDEXED_KEY_BYTES } from "./ddl.ts";
import type { Session } from "./session.ts";
import { NEWEST_FIRST } from "./user_data.ts";

/** A call looks at so many users at most, most of whom may have nothing to delete. */
const USERS_MAX = 500;

/** These rows of one user are old, and are hidden by the row that is kept. */
export interface Hidden {
  readonly kept: Place;
  readonly rows: readonly Place[];
}

/** It is where a row lies: the partition, and the place in that. */
export interface Place {
  readonly part: string;
  readonly place: string;
}

/** Of the user `userId` the rows below this version are still to be looked at. */
export interface Position {
  readonly userId: string;
  readonly below: VersionTexts;
}

/** It has `ts`, `acceptedMs`, run and number: the numbers of others may be larger than is exact. */
type VersionTexts = readonly [string, string, string, string];

export interface Walked {
  readonly hidden: readonly Hidden[];
  /** The version of the last row found, where the walk ended in the middle of a user. */
  readonly last?: Position;
  /** It is missing where there are no more users. */
  readonly next?: Position;
}

const LEAST = "-9223372036854775808";
/** Nothing is below it. */
const LOWEST: VersionTexts = [LEAST, LEAST, "", LEAST];

const VERSION = "ts, dsproxy_accepted_ms, dsproxy_instance, dsproxy_seq";
/** The index may leave out what is longer, and so do reads. */
const INDEXED = `octet_length(user_id) <= ${INDEXED_KEY_BYTES}`;

/**
 * Returns the query that looks at one user. All that bounds the rows found is brought together in
 * one version, as the index is entered at that: rows that were deleted a moment ago, of which a
 * user may have a million, are not walked over again.
 * @param before the rows of the walk so far, whose columns `n` and `picked` it names
 * @param after the condition that the next user_id has to meet
 */
function look(before: string, n: string, picked: string, after: string, isFirst: boolean): string {
  const resumed = isFirst
    ? `union all select $2::bigint, $3::bigint, $4::text collate "C", $5::bigint
       where next.user_id = $1`
    : "";
  return `
  select ${n} + 1 as n, ${picked} + found.picked as picked,
    next.user_id::text collate "default" as user_id, kept.part as kept_part,
    kept.place as kept_place, found.parts, found.places, found.last
  from ${before}
  cross join lateral (
    select user_id from user_data where user_id ${after} and ${INDEXED} order by user_id limit 1
  ) as next
  cross join lateral (
    select tableoid as part, ctid as place, ${VERSION} from user_data
    where user_id = next.user_id and ${INDEXED} and value is not null
    order by ${NEWEST_FIRST} limit 1
  ) as kept
  cross join lateral (
    select * from (
      select kept.ts, kept.dsproxy_accepted_ms, kept.dsproxy_instance, kept.dsproxy_seq
      union all select $6::bigint, ${LEAST}, '' collate "C", ${LEAST}
      ${resumed}
    ) as bounds (ts, accepted_ms, instance, seq)
    order by ts nulls first, accepted_ms, instance, seq limit 1
  ) as below
  cross join lateral (
    select count(*)::int as picked, array_agg(part)::text[] as parts,
      array_agg(place)::text[] as places, (array_agg(version))[count(*)] as last
    from (
      select tableoid as part, ctid as place, json_build_array(ts::text,
        dsproxy_accepted_ms::text, dsproxy_instance, dsproxy_seq::text)::text as version
      from user_data
      where user_id = next.user_id and ${INDEXED} and (${VERSION}) <
        (below.ts, below.accepted_ms, below.instance, below.seq)
      order by ${NEWEST_FIRST} limit $7::int - ${picked}
    ) as hidden
  ) as found`;
}

/** A row without a ts has no age, and is never found. */
const WALK = `
with recursive walk as (
  ${look("(select) as start", "0", "0", ">= $1", true)}
  union all
  ${look("walk", "walk.n", "walk.picked", "> walk.user_id", false)}
  where walk.n < ${USERS_MAX} and walk.picked < $7::int
)
select n, picked, user_id, kept_part::text, kept_place::text, parts, places, last from walk
where places is not null or n = (select max(n) from walk)
order by n`;

interface Row {
  readonly n: number;
  readonly picked: number;
  readonly user_id: string;
  readonly kept_part: string;
  readonly kept_place: string;
  readonly parts: readonly string[] | null;
  readonly places: readonly string[] | null;
  readonly last: string | null;
}

/** @param from as {@link Walked.next}; a walk begins without it */
export async function walk(
  session: Session,
  olderThanTs: number,
  limit: number,
  from: Position = { userId: "", below: LOWEST },
): Promise<Walked> {
  const { rows } = await session.query<Row>(WALK, [
    from.userId,
    ...from.below,
    olderThanTs,
    limit,
  ]);
  const hidden = rows.flatMap(({ kept_part, kept_place, parts, places }) =>
    places === null ? [] : [{
      kept: { part: kept_part, place: kept_place },
      rows: places.map((place, i) => ({ part: parts![i]!, place })),
    }]
  );
  const end = rows.at(-1);
  if (end === undefined) return { hidden };
  const { user_id: userId } = end;
  if (end.picked >= limit) {
    const last = { userId, below: JSON.parse(end.last!) as VersionTexts };
    return { hidden, last, next: last };
  }
  return end.n < USERS_MAX ? { hidden } : { hidden, next: { userId, below: LOWEST } };
}

/** Returns the position at which a row is found again, after one that comes behind it. */
export function including({ userId, below: [ts, acceptedMs, run, seq] }: Position): Position {
  return { userId, below: [ts, acceptedMs, run, String(BigInt(seq) + 1n)] };
}
