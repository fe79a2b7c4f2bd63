/** How the database would look up the latest entry of a user. */
import { once } from "./postgres.ts";

/**
 * The plan of the store's look-up, as text; a sequential scan shows only where there is no other
 * way. @param more a further condition
 */
export async function planOfLatest(url: string, more = ""): Promise<string> {
  const rows = await once(
    url,
    (sql) =>
      sql.unsafe(
        `set enable_seqscan = off; explain select value from user_data where user_id = 'u7' ${more}
    order by ts desc nulls last, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc
    limit 1`,
      ),
  );
  return JSON.stringify(rows);
}
