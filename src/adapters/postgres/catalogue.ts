/**
 * Reads what a database has of dsProxy's schema, and what the role may do about it, from the
 * catalogue, which everybody may read.
 */
import { StoreRefusesError } from "../../errors.ts";
import { type IndexVariant, variantOf } from "./ddl.ts";
import { OWN_TABLES, RECORD_TABLE } from "./migrations.ts";
import { COLUMNS } from "./user_data.ts";
import type { Session } from "./session.ts";

interface Column {
  readonly name: string;
  readonly type: string;
  /** It is true when an INSERT that does not name the column is refused. */
  readonly demanded: boolean;
}

/** Names are quoted where SQL needs it. */
export interface Catalogue {
  readonly role: string;
  /**
   * `user_data` is in this schema, or else would be created there; it is null when no schema of the
   * search path exists.
   */
  readonly schema: string | null;
  readonly searchPath: string;
  /** The database has this encoding for all its texts. */
  readonly encoding: string;
  readonly mayCreate: boolean;
  readonly userData: UserData | null;
  /**
   * Unqualified names find these own tables, beside `user_data` or before it in the search path.
   */
  readonly ownTables: readonly string[];
}

interface UserData {
  /** It has its schema before it. */
  readonly name: string;
  /** It is `relkind` of pg_class. */
  readonly kind: string;
  readonly owner: string;
  /** It is true when the role may do what the owner may. */
  readonly owned: boolean;
  readonly columns: readonly Column[];
}

/**
 * Own tables in a later schema belong to another `user_data`, which this one shadows: taken for our
 * own, two tables would have one identity, and one cache.
 */
const CATALOGUE = `
  select json_build_object(
    'role', quote_ident(current_user), 'schema', quote_ident(n.nspname),
    'searchPath', current_setting('search_path'),
    'encoding', current_setting('server_encoding'),
    'mayCreate', coalesce(has_schema_privilege(n.oid, 'create'), false),
    'userData', case when c.oid is not null then json_build_object(
      'name', format('%I.%I', n.nspname, c.relname), 'kind', c.relkind,
      'owner', quote_ident(pg_get_userbyid(c.relowner)),
      'owned', pg_has_role(c.relowner, 'usage'),
      'columns', (
        select coalesce(json_agg(json_build_object(
          'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
          'demanded', a.attnotnull and not a.atthasdef and a.attidentity = ''
        ) order by a.attnum), '[]')
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)) end,
    'ownTables', (
      select coalesce(json_agg(own.relname), '[]')
      from pg_class own join pg_namespace s on s.oid = own.relnamespace
      where own.oid in (${
  [...OWN_TABLES, RECORD_TABLE].map((name) => `to_regclass('${name}')`).join(", ")
})
      and array_position(current_schemas(true), s.nspname)
        <= array_position(current_schemas(true), n.nspname))
  )::text as catalogue
  from (select to_regclass('user_data') as oid) found
  left join pg_class c on c.oid = found.oid
  left join pg_namespace n
    on n.oid = coalesce(c.relnamespace, to_regnamespace(quote_ident(current_schema())))`;

export async function readCatalogue(session: Session): Promise<Catalogue> {
  const { rows } = await session.query<{ catalogue: string }>(CATALOGUE);
  return JSON.parse(rows[0]!.catalogue);
}

/**
 * Returns what the service cannot do without: the columns to be added, and the tables to be
 * created. What the record of the migrations says is not asked.
 */
export function missingFrom(
  { userData, ownTables }: Catalogue,
): { columns: string[]; tables: string[] } {
  const columns = userData === null
    ? []
    : COLUMNS.map(({ name }) => name).filter((name) => !has(userData, name));
  const tables = OWN_TABLES.filter((name) => !ownTables.includes(name));
  return { columns, tables: userData === null ? ["user_data", ...tables] : tables };
}

/**
 * Returns whether there is no record of migrations, as in a database that the service's first
 * releases made.
 */
export function lacksRecord({ ownTables }: Catalogue): boolean {
  return !ownTables.includes(RECORD_TABLE);
}

function has(userData: UserData, column: string): boolean {
  return userData.columns.some(({ name }) => name === column);
}

const ENCODINGS: readonly string[] = ["UTF8", "SQL_ASCII"];
const KINDS: Readonly<Record<string, string>> = {
  v: "a view",
  m: "a materialized view",
  f: "a foreign table",
  S: "a sequence",
  c: "a composite type",
};
const TABLE = "r";
const PARTITIONED_TABLE = "p";

/**
 * Judges an existing `user_data`.
 * @throws StoreRefusesError naming what makes it useless
 */
export function checkUsable(
  { userData, schema, searchPath, encoding, ownTables }: Catalogue,
): void {
  if (!ENCODINGS.includes(encoding)) {
    throw new StoreRefusesError(
      "22P05",
      `The database is encoded in ${encoding}, which lacks characters that records may have: use ` +
        "one with the encoding UTF8.",
    );
  }
  if (schema === null) {
    throw new StoreRefusesError(
      "3F000",
      `No schema of the search path (${searchPath}) exists or may be used: create one, or set ` +
        "another search_path for the role.",
    );
  }
  if (userData === null) {
    if (!ownTables.includes("dsproxy_marks")) return;
    // An empty one in its place would answer 404 for everybody who is stored.
    throw new StoreRefusesError(
      "42P01",
      "The table user_data is not there any more, though dsproxy_marks shows that it was: " +
        "rename it back. If it is meant to be gone, drop dsproxy_marks, too, and both are made " +
        "anew.",
    );
  }
  if (userData.kind !== TABLE && userData.kind !== PARTITIONED_TABLE) {
    throw new StoreRefusesError(
      "42809",
      `${userData.name} is ${
        KINDS[userData.kind] ?? "not a table"
      }, but a table is needed: rename it, or use another database ` +
        "or search_path.",
    );
  }
  for (const { name, type, added } of COLUMNS) {
    checkColumn(userData, name, type, added !== undefined);
  }
}

function checkColumn({ columns }: UserData, name: string, type: string, canBeAdded: boolean): void {
  const found = columns.find((column) => column.name === name)?.type;
  if (found === undefined && !canBeAdded) {
    throw new StoreRefusesError(
      "42703",
      `The table user_data has no column ${name} (${type}): add it, or use another database.`,
    );
  }
  if (
    found !== undefined && found !== type &&
    !(type === "text" && found.startsWith("character varying"))
  ) {
    throw new StoreRefusesError(
      "42804",
      `The column user_data.${name} is of type ${found}, but ${type} is needed: change it, or ` +
        "use another database.",
    );
  }
}

/** It is one table of `user_data`: that itself, a partition, or a table that inherits from it. */
export interface Part {
  readonly oid: string;
  readonly name: string;
  readonly schema: string;
  readonly kind: string;
  readonly owner: string;
  readonly owned: boolean;
  readonly mayCreate: boolean;
  /** It is true when the name of the index is taken in this schema. */
  readonly nameTaken: boolean;
  /**
   * It is true while an index is being built on it, or it is being vacuumed: a build would wait,
   * and might deadlock with another.
   */
  readonly busy: boolean;
  readonly indexes: readonly Index[];
}

export interface Index {
  /** It is given unqualified here, and with its schema in the next one. */
  readonly name: string;
  readonly qualified: string;
  readonly variant: IndexVariant | undefined;
  readonly valid: boolean;
  /** It is true for a part of a partitioned table's index. */
  readonly attached: boolean;
}

const PARTS_CTE = `
  with recursive parts as (
    select to_regclass('user_data')::oid as oid
    union select i.inhrelid from pg_inherits i join parts on i.inhparent = parts.oid
  )`;

/** `user_data` comes first among the parts. */
const PARTS = `${PARTS_CTE}
  select coalesce(json_agg(json_build_object(
    'oid', c.oid::text, 'name', format('%I.%I', n.nspname, c.relname),
    'schema', quote_ident(n.nspname), 'kind', c.relkind,
    'owner', quote_ident(pg_get_userbyid(c.relowner)), 'owned', pg_has_role(c.relowner, 'usage'),
    'mayCreate', has_schema_privilege(n.oid, 'create'),
    'nameTaken', exists (
      select from pg_class other where other.relnamespace = n.oid and other.relname = $1),
    'busy', exists (select from pg_locks l where l.locktype = 'relation' and l.relation = c.oid
      and l.database = (select oid from pg_database where datname = current_database())
      and l.mode = 'ShareUpdateExclusiveLock' and l.pid <> pg_backend_pid()),
    'indexes', (
      select coalesce(json_agg(json_build_object(
        'name', ic.relname, 'qualified', format('%I.%I', n.nspname, ic.relname),
        'valid', x.indisvalid, 'attached', exists (select from pg_inherits where inhrelid = ic.oid),
        'definition', pg_get_indexdef(ic.oid))), '[]')
      from pg_index x join pg_class ic on ic.oid = x.indexrelid where x.indrelid = c.oid)
    ) order by (c.oid = to_regclass('user_data')) desc, c.oid), '[]')::text as parts
  from parts join pg_class c on c.oid = parts.oid join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('${TABLE}', '${PARTITIONED_TABLE}')`;

export async function readParts(session: Session, indexName: string): Promise<Part[]> {
  const { rows } = await session.query<{ parts: string }>(PARTS, [indexName]);
  type Raw = Omit<Part, "indexes"> & {
    indexes: (Omit<Index, "variant"> & { definition: string | null })[];
  };
  return (JSON.parse(rows[0]!.parts) as Raw[]).map((part) => ({
    ...part,
    indexes: part.indexes.map(({ definition, ...index }) => ({
      ...index,
      variant: variantOf(definition ?? ""),
    })),
  }));
}

export const isPartitioned = (part: Part) => part.kind === PARTITIONED_TABLE;

/** These modes do not stand in the way of a lock that lets nobody write. */
const READERS = "('AccessShareLock', 'RowShareLock')";

/**
 * Reads which transactions hold a lock on a part of `user_data`, and so stand in the way of ours,
 * by their stable names. A prepared transaction has no process.
 */
export async function readHolders(
  session: Session,
  readersToo: boolean,
): Promise<Map<string, number | null>> {
  const { rows } = await session.query<{ holder: string; pid: number | null }>(
    `${PARTS_CTE}
    select distinct l.virtualtransaction as holder, l.pid
    from pg_locks l join parts on parts.oid = l.relation
    where l.locktype = 'relation' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
    and (l.pid is null or l.pid <> pg_backend_pid()) and ($1 or l.mode not in ${READERS})`,
    [readersToo],
  );
  return new Map(rows.map(({ holder, pid }) => [holder, pid]));
}

/** Says who these processes are, as far as the role may see. */
export async function describeProcesses(
  session: Session,
  pids: readonly number[],
): Promise<string> {
  const { rows } = await session.query<{ who: string }>(
    `select format('process %s (%s, %s, %s since %s)', pid, coalesce(usename, '?'),
      coalesce(nullif(application_name, ''), 'unnamed'), coalesce(state, 'of another role'),
      coalesce(date_trunc('second', xact_start)::text, '?')) as who
    from pg_stat_activity where pid = any($1::int[]) order by xact_start nulls last limit 5`,
    [pids],
  );
  return rows.map(({ who }) => who).join(", ");
}
