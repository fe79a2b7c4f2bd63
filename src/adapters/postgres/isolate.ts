/**
 * Takes a refused batch apart on the server: one round trip instead of three for each row. This
 * needs PL/pgSQL, which every database has unless somebody took it out.
 */
import { MAY_PASS_PATTERN } from "./sql_state.ts";
import { COLUMN_NAMES } from "./user_data.ts";

const RAISE_WHAT_MAY_PASS = `if sqlstate ~ '${MAY_PASS_PATTERN}' then raise; end if;`;
/** It is a code of our own, for a statement that inserts no row and tells of no error either. */
export const VANISHED = "DSP01";
/** So many rows are tried together before each of them is tried alone. */
const CHUNK_ROWS = 64;
/** There are no more turns than this, as a trigger may refuse at random. */
const MAX_TURNS = 10;

/** The settings `dsproxy.*` bring the rows: one array a column, in the order of COLUMNS. */
export const ISOLATE_SETTINGS = [
  "user_ids",
  "values",
  "ts",
  "accepted_ms",
  "instances",
  "seqs",
] as const;

/**
 * The block reads the rows from the settings `dsproxy.*`, and writes `dsproxy.refused`: a JSON
 * array of `{seq, code, message}`.
 */
export const ISOLATE = `
do $isolate$
declare
  user_ids text[] := current_setting('dsproxy.user_ids')::text[];
  vals text[] := current_setting('dsproxy.values')::text[];
  ts bigint[] := current_setting('dsproxy.ts')::bigint[];
  accepted_ms bigint[] := current_setting('dsproxy.accepted_ms')::bigint[];
  instances text[] := current_setting('dsproxy.instances')::text[];
  seqs bigint[] := current_setting('dsproxy.seqs')::bigint[];
  suspects int[] := '{}';
  again int[];
  codes text[];
  messages text[];
  message text;
  inserted int;
  first int := 1;
  last int;
  i int;
begin
  while first <= cardinality(seqs) loop
    last := least(first + ${CHUNK_ROWS - 1}, cardinality(seqs));
    begin
      insert into user_data (${COLUMN_NAMES})
      select * from unnest(user_ids[first:last], vals[first:last], ts[first:last],
        accepted_ms[first:last], instances[first:last], seqs[first:last]);
      get diagnostics inserted = row_count;
      if inserted <= last - first then raise exception using errcode = '${VANISHED}'; end if;
    exception when others then
      ${RAISE_WHAT_MAY_PASS}
      suspects := suspects || array(select generate_series(first, last));
    end;
    first := last + 1;
  end loop;
  -- Until a turn in which none went in any more: somebody may mend the table meanwhile.
  for turn in 1..${MAX_TURNS} loop
    again := '{}';
    codes := '{}';
    messages := '{}';
    foreach i in array suspects loop
      begin
        insert into user_data (${COLUMN_NAMES})
        values (user_ids[i], vals[i], ts[i], accepted_ms[i], instances[i], seqs[i]);
        get diagnostics inserted = row_count;
        -- It may have been put into another table that is read with this one.
        if inserted = 0 and not exists (select from user_data u where u.user_id = user_ids[i]
          and u.dsproxy_seq = seqs[i] and u.dsproxy_instance = instances[i]) then
          raise exception 'a trigger or rule of user_data lets the row vanish'
            using errcode = '${VANISHED}';
        end if;
      exception when others then
        ${RAISE_WHAT_MAY_PASS}
        get stacked diagnostics message = message_text;
        again := again || i;
        codes := codes || sqlstate::text;
        messages := messages || message;
      end;
    end loop;
    exit when turn > 1 and cardinality(again) = cardinality(suspects);
    suspects := again;
  end loop;
  perform set_config('dsproxy.refused', (
    select coalesce(json_agg(json_build_object(
      'seq', seqs[r.i], 'code', r.code, 'message', r.message) order by r.i), '[]')::text
    from unnest(suspects, codes, messages) as r(i, code, message)), true);
end
$isolate$`;

/**
 * The block reads `dsproxy.neighbours`, a JSON array of `{userId, value}`, and writes
 * `dsproxy.probe`: `{goesIn, codes}`. It tries a made-up row, the neighbours, and a row that is
 * there, each as of now: a table may be closed for a time. A probe that goes in is taken back at
 * once. One that only is there already goes in, too: uniqueness is looked at last, and is between
 * rows.
 */
export const PROBE = `
do $probe$
declare
  probe record;
  inserted int;
  goes_in boolean := false;
  codes text[] := '{}';
begin
  for probe in
    select 'dsproxy-probe-' || md5(random()::text) as user_id, 'probe' as value
    union all (select item->>'userId', item->>'value'
      from json_array_elements(current_setting('dsproxy.neighbours')::json) item)
    union all (select user_data.user_id, user_data.value from user_data limit 1)
  loop
    begin
      insert into user_data (user_id, value, ts)
      values (probe.user_id, probe.value, extract(epoch from now())::bigint);
      get diagnostics inserted = row_count;
      if inserted = 0 and not exists (select from user_data u where u.user_id = probe.user_id) then
        raise exception using errcode = '${VANISHED}';
      end if;
      raise exception using errcode = 'DSP00';
    exception
      when sqlstate 'DSP00' or unique_violation or exclusion_violation then goes_in := true;
      when others then
        ${RAISE_WHAT_MAY_PASS}
        codes := codes || sqlstate::text;
    end;
  end loop;
  perform set_config('dsproxy.probe',
    json_build_object('goesIn', goes_in, 'codes', codes)::text, true);
end
$probe$`;
