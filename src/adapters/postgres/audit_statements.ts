/** Has the statements of the audit, which are long. */
import { GONE_BLOCK } from "./migrations.ts";

/** The groups that workers brought are above the mark until it is moved over them. */
export const APPLIED_RANGES = "(select source, first, last from dsproxy_applied)";
export const NO_RANGES =
  "(select ''::text as source, 0::bigint as first, 0::bigint as last where false)";

/**
 * A source of the first format of journals is `instance/run`, whose rows name the instance alone:
 * nobody can say which of its runs a row belongs to.
 */
const MARKS = `marks as (
  select m.source, m.seq as mark,
    coalesce(max(n.last) filter (where n.kind = 'unknown'), 0) as unknown_through
  from dsproxy_marks m left join dsproxy_audit_notes n using (source)
  where m.source not like '%/%' group by m.source, m.seq)`;

export const AUDITED = `with ${MARKS}
  select source, mark, unknown_through from marks where mark > unknown_through order by source`;

const BITS = `(select source, kind, block * ${GONE_BLOCK} + i as seq
  from dsproxy_gone, generate_series(0, ${GONE_BLOCK - 1}) as i where get_bit(numbers, i) = 1)`;

/** All numbers are held against each other by the sum of what they hash to under a seed, $1. */
const sumOf = (seq: string) => `sum(hashint8extended(${seq}, $1::bigint))`;

/**
 * A number that is missing and others that are there twice may leave the count as it is, and their
 * sum, and that of their squares; that they hash to the same sum would be chance, under a seed that
 * is another one each time. $1 is the seed.
 */
export const SURVEY = (ranges: string) => `
with ${MARKS}, found as (
  select u.dsproxy_instance as source,
    count(*) filter (where u.dsproxy_seq > m.unknown_through and u.dsproxy_seq <= m.mark) as rows,
    ${sumOf("u.dsproxy_seq")} filter (where u.dsproxy_seq > m.unknown_through
      and u.dsproxy_seq <= m.mark) as sum,
    count(*) filter (where m.mark is null or (u.dsproxy_seq > m.mark and not exists (
      select from ${ranges} a where a.source = u.dsproxy_instance
        and u.dsproxy_seq between a.first and a.last))) as strays
  from user_data u left join marks m on m.source = u.dsproxy_instance
  where u.dsproxy_instance <> '' group by u.dsproxy_instance),
buried as (
  select d.source, count(*) as n, ${sumOf("d.seq")} as sum
  from dsproxy_dead_letters d join marks m
    on m.source = d.source and d.seq > m.unknown_through and d.seq <= m.mark
  group by d.source),
numbers as (
  select source, kind, seq from ${BITS} b
  union
  select n.source, n.kind, s from dsproxy_audit_notes n, generate_series(n.first, n.last) as s
  where n.kind <> 'unknown'),
away as (
  select g.source, count(*) filter (where kind = 'retired') as retired,
    count(*) filter (where kind = 'discarded') as discarded,
    count(*) filter (where kind = 'withdrawn') as withdrawn,
    count(*) filter (where kind = 'accepted') as accepted,
    count(*) as n, ${sumOf("g.seq")} as sum
  from numbers g join marks m
    on m.source = g.source and g.seq > m.unknown_through and g.seq <= m.mark
  group by g.source)
select coalesce(m.source, f.source) as source, coalesce(m.mark, 0) as mark,
  coalesce(m.unknown_through, 0) as unknown_through, coalesce(f.rows, 0) as rows,
  coalesce(f.strays, 0) as strays, coalesce(b.n, 0) as dead, coalesce(a.retired, 0) as retired,
  coalesce(a.discarded, 0) as discarded, coalesce(a.withdrawn, 0) as withdrawn,
  coalesce(a.accepted, 0) as accepted,
  m.mark is null or m.mark <= m.unknown_through
    or (coalesce(f.rows, 0) + coalesce(b.n, 0) + coalesce(a.n, 0) = m.mark - m.unknown_through
      and coalesce(f.sum, 0) + coalesce(b.sum, 0) + coalesce(a.sum, 0) = given_out.sum) as agrees
from marks m
  full join found f on f.source = m.source
  left join buried b on b.source = m.source
  left join away a on a.source = m.source
  -- They are made in the list of what is selected, where they are not gathered first.
  left join lateral (
    select ${sumOf("seq")} as sum
    from (select generate_series(m.unknown_through + 1, m.mark) as seq) numbers) given_out on true
where m.source is not null
  or (f.strays > 0 and not exists (
    select from dsproxy_marks old where split_part(old.source, '/', 1) = f.source))
order by 1`;

/**
 * $1 is the source, $2 and $3 the numbers, $4 how much is named. The numbers are compared with these
 * as well as with the bounds, as the planner cannot tell how few rows lie between those, and would
 * read the whole of a large table.
 */
export const CHECK = `
with ${MARKS}, bounds as (
  select greatest($2::bigint, unknown_through + 1) as first, least($3::bigint, mark) as last
  from marks where source = $1),
stored as (
  select u.dsproxy_seq as seq, count(*) as times from user_data u, bounds
  where u.dsproxy_instance = $1 and u.dsproxy_seq between bounds.first and bounds.last
    and u.dsproxy_seq between $2 and $3
  group by u.dsproxy_seq),
buried as (
  select d.seq from dsproxy_dead_letters d, bounds
  where d.source = $1 and d.seq between bounds.first and bounds.last
    and d.seq between $2 and $3),
away as (
  select block * ${GONE_BLOCK} + i as seq
  from bounds, dsproxy_gone, generate_series(0, ${GONE_BLOCK - 1}) as i
  where source = $1 and block between bounds.first / ${GONE_BLOCK} and bounds.last / ${GONE_BLOCK}
    and get_bit(numbers, i) = 1
  union
  select s from bounds, dsproxy_audit_notes n,
    generate_series(greatest(n.first, bounds.first), least(n.last, bounds.last)) as s
  where n.source = $1 and n.kind <> 'unknown'
    and n.first <= bounds.last and n.last >= bounds.first),
compared as (
  select n.seq, coalesce(s.times, 0) + (b.seq is not null)::int as times, a.seq is not null as away
  from bounds cross join lateral generate_series(bounds.first, bounds.last) as n (seq)
    left join stored s on s.seq = n.seq
    left join buried b on b.seq = n.seq
    left join away a on a.seq = n.seq),
missing as (
  select seq, seq - row_number() over (order by seq) as gap from compared
  where times = 0 and not away),
gaps as (select min(seq) as first, max(seq) as last from missing group by gap order by 1 limit $4),
doubles as (select seq, times from compared where times > 1 order by seq limit $4)
select (select count(*) from compared) as numbers, (select count(*) from missing) as missing,
  (select count(*) from compared where times > 1) as doubled,
  (select json_agg(gaps order by first) from gaps) as gaps,
  (select json_agg(doubles order by seq) from doubles) as doubles`;

/** $1 is the source, $2 the limit. */
export const strays = (ranges: string) => `
select distinct u.dsproxy_seq as seq
from user_data u left join dsproxy_marks m on m.source = u.dsproxy_instance
where u.dsproxy_instance = $1 and (m.seq is null or u.dsproxy_seq > m.seq)
  and not exists (select from ${ranges} a where a.source = u.dsproxy_instance
    and u.dsproxy_seq between a.first and a.last)
order by 1 limit $2`;
