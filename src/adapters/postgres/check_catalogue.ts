/**
 * Reads in the catalogue, for the check, what is bound to refuse rows, and what is good to know.
 */
import type { Catalogue } from "./catalogue.ts";

import type { Session } from "./session.ts";
import { COLUMNS } from "./user_data.ts";

export interface Finding {
  readonly problem?: string;
  readonly note?: string;
  /** It is the SQLSTATE of what the finding explains, so that a refusal is not told twice. */
  readonly explains?: string;
}

const NOT_NULL_VIOLATION = "23502";
const UNIQUE_VIOLATION = "23505";
const WRITTEN = COLUMNS.map(({ name }) => name as string);

export async function constraintFindings(
  session: Session,
  { userData }: Catalogue,
): Promise<Finding[]> {
  if (userData === null) return [];
  const demanded = userData.columns.filter(({ name, demanded }) =>
    demanded && !WRITTEN.includes(name)
  ).map((
    { name, type },
  ) => ({
    problem:
      `The column ${userData.name}.${name} (${type}) is NOT NULL and has no default, so every ` +
      "row of the service would be refused: give it a default, or let it be null.",
    explains: NOT_NULL_VIOLATION,
  }));
  return [
    ...demanded,
    ...(await uniqueKeys(session)).map(({ name, primary, columns }) => ({
      problem:
        `The ${primary ? "primary key" : "unique index"} ${name} allows one row for each ${
          columns.join(" and ")
        } in ` +
        `${userData.name}, but the service keeps every write as a row of its own, so further ` +
        "ones would be refused: drop it (the newest row of a user is found by the index of " +
        "dsProxy), or use another table.",
      explains: UNIQUE_VIOLATION,
    })),
  ];
}

interface UniqueKey {
  readonly name: string;
  readonly primary: boolean;
  readonly columns: readonly string[];
}

/**
 * Returns the unique keys that two writes of one user can violate. Partial and computed ones are
 * left to the probe.
 */
async function uniqueKeys(session: Session): Promise<UniqueKey[]> {
  const { rows } = await session.query<{ keys: string }>(`
    select coalesce(json_agg(json_build_object(
      'name', quote_ident(c.relname), 'primary', x.indisprimary, 'columns', (
        select json_agg(a.attname order by k.position)
        from unnest(x.indkey::int2[]) with ordinality k(number, position)
        join pg_attribute a on a.attrelid = x.indrelid and a.attnum = k.number
        where k.position <= x.indnkeyatts)
    ) order by c.relname), '[]')::text as keys
    from pg_index x join pg_class c on c.oid = x.indexrelid
    where x.indrelid = to_regclass('user_data') and x.indisunique
      and x.indpred is null and x.indexprs is null`);
  const keys = JSON.parse(rows[0]!.keys) as UniqueKey[];
  return keys.filter(({ columns }) =>
    columns.every((column) => ["user_id", "value", "ts"].includes(column))
  );
}

interface Settings {
  readonly synchronous_commit: string;
  readonly fsync: string;
  readonly elsewhere: string | null;
}

export async function noteFindings(
  session: Session,
  { userData, schema, searchPath }: Catalogue,
): Promise<Finding[]> {
  const { rows } = await session.query<Settings>(`
    select current_setting('synchronous_commit') as synchronous_commit,
      current_setting('fsync') as fsync,
      (select string_agg(format('%I.%I', n.nspname, c.relname), ', ')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relname = 'user_data' and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and n.nspname !~ '^pg_') as elsewhere`);
  const { synchronous_commit, fsync, elsewhere } = rows[0]!;
  const notes: string[] = [];
  if (synchronous_commit === "off") {
    notes.push(
      "synchronous_commit is off; the service turns it on for its own transactions, so nothing " +
        "has to be done.",
    );
  }
  if (fsync === "off") {
    notes.push(
      "fsync is off: a crash of the database's machine may lose rows that it has confirmed. Turn " +
        "it on.",
    );
  }
  if (userData === null && elsewhere !== null) {
    notes.push(
      `There is ${elsewhere}, but it is not found by the search_path (${searchPath}) of this ` +
        "role, or the role may not use its schema: the first start will create a new, empty " +
        `${schema}.user_data. If that is not meant: alter role … set search_path.`,
    );
  }
  for (const { name, type } of userData?.columns ?? []) {
    if (["user_id", "value"].includes(name) && /^character varying\(/.test(type)) {
      notes.push(
        `The column ${
          userData!.name
        }.${name} is of type ${type}: a row with a longer one goes to the dead letters.`,
      );
    }
  }
  return notes.map((note) => ({ note }));
}
