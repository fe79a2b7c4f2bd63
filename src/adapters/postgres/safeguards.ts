/** Has what each transaction that writes rows looks at or sets, as columns of one of its statements. */

/**
 * What was committed is forgotten elsewhere, so the commit has to be on disk; a stronger setting is
 * kept.
 */
export const SYNCHRONOUS = `(select set_config('synchronous_commit',
  case current_setting('synchronous_commit') when 'off' then 'on'
  else current_setting('synchronous_commit') end, true))`;

/**
 * It says whether a COPY does what an INSERT would: it passes over rules, and is refused where
 * row-level security is in force. Both may be set at any time.
 */
export const TAKES_COPY = `(select not (relhasrules or row_security_active(oid)) from pg_class
  where oid = 'user_data'::regclass) as takes_copy`;
