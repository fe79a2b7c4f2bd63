/**
 * Builds the index by which the audit finds the rows of some numbers. Rows come in the order of
 * their numbers, so that a summary of every few pages is enough: it takes next to nothing from a
 * flush (docs/audit_results.md). The audit is right without it, by reading the whole table.
 */
import type { Database } from "./database.ts";
import { isIndexed } from "./latest_index.ts";
import type { Session } from "./session.ts";

export const NUMBERS_INDEX = "dsproxy_user_data_numbers";

/** It reads the table once, while others write; on the largest of tables that takes an hour. */
const BUILD_LIMIT_MS = 3_600_000;

export function createNumbersIndex(schema: string): string {
  return `create index concurrently if not exists ${NUMBERS_INDEX} on ${schema}.user_data using brin ` +
    "(dsproxy_instance, dsproxy_seq) with (pages_per_range = 16, autosummarize = on)";
}

interface Found {
  readonly schema: string;
  /** A partitioned table cannot be indexed CONCURRENTLY: its owner may index it as a whole. */
  readonly may_build: boolean;
  readonly is_valid: boolean | null;
}

const FIND = `
select quote_ident(n.nspname) as schema,
  c.relkind = 'r' and pg_has_role(c.relowner, 'usage')
    and has_schema_privilege(n.oid, 'create') as may_build,
  (select x.indisvalid from pg_index x join pg_class i on i.oid = x.indexrelid
   where x.indrelid = c.oid and i.relname = '${NUMBERS_INDEX}') as is_valid
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = 'user_data'::regclass`;

/**
 * Returns whether numbers are found by the index, and builds it where that can be done. It is called
 * by the leader alone: of two builds at the same time one would fail.
 */
export async function ensureNumbersIndex(
  database: Pick<Database, "longRun" | "run">,
): Promise<boolean> {
  const found = await database.run(find);
  if (found.is_valid === true) return true;
  // Two builds on one table wait for each other: the other index comes first, as reads need it.
  if (!found.may_build || !await database.run(isIndexed)) return false;
  await database.longRun(BUILD_LIMIT_MS, async (session) => {
    // What an interrupted build left behind is of no use.
    if (found.is_valid === false) {
      await session.query(`drop index concurrently ${found.schema}.${NUMBERS_INDEX}`);
    }
    await session.query(createNumbersIndex(found.schema));
  });
  return true;
}

async function find(session: Session): Promise<Found> {
  const { rows: [found] } = await session.query<Found>(FIND);
  return found!;
}
