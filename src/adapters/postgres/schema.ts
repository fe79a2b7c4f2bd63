/** The table of the original, extended in place. Cheap when nothing is to be done; safe when many instances start at once. */
import type { Pool } from "./pool.ts";
import type { Session } from "./session.ts";

/** A B-tree entry has no room for more; see {@link LATEST_INDEX_PARTIAL}. */
export const INDEXED_KEY_BYTES = 1024;

const MIGRATION_LOCK = 0x6473_7072; // "dspr"
const MIGRATION_LIMIT_MS = 600_000;
const PROGRAM_LIMIT_EXCEEDED = "54000";

const COLUMNS = [
  { name: "user_id", type: "text", own: "" },
  { name: "value", type: "text", own: "" },
  { name: "ts", type: "bigint", own: "" },
  { name: "dsproxy_accepted_ms", type: "bigint", own: "bigint not null default 0" },
  { name: "dsproxy_instance", type: "text", own: `text collate "C" not null default ''` },
  { name: "dsproxy_seq", type: "bigint", own: "bigint not null default 0" },
] as const;

const ORDER = "user_id, ts desc nulls last, dsproxy_accepted_ms desc, dsproxy_instance desc, dsproxy_seq desc";
const LATEST_INDEX = `create index dsproxy_user_data_latest on user_data (${ORDER})`;
const LATEST_INDEX_PARTIAL = `${LATEST_INDEX} where octet_length(user_id) <= ${INDEXED_KEY_BYTES}`;

/** @throws Error naming column and types when an existing table cannot be used */
export async function ensureSchema(pool: Pool): Promise<void> {
  if (await pool.run(MIGRATION_LIMIT_MS, isComplete)) return;
  try {
    await pool.transaction(MIGRATION_LIMIT_MS, (session) => migrate(session, LATEST_INDEX));
  } catch (error) {
    if ((error as { code?: string }).code !== PROGRAM_LIMIT_EXCEEDED) throw error;
    // A row of somebody else has a user_id too long for an index entry: it stays, outside the index.
    await pool.transaction(MIGRATION_LIMIT_MS, (session) => migrate(session, LATEST_INDEX_PARTIAL));
  }
}

interface State {
  readonly columns: Map<string, string>;
  readonly indexed: boolean;
  readonly marked: boolean;
  readonly buries: boolean;
}

async function inspect(session: Session): Promise<State> {
  const { rows } = await session.query<{ name: string; type: string }>(
    `select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
    where attrelid = to_regclass('user_data') and attnum > 0 and not attisdropped`,
  );
  const { rows: [found] } = await session.query<Omit<State, "columns">>(
    `select to_regclass('dsproxy_user_data_latest') is not null as indexed,
      to_regclass('dsproxy_marks') is not null as marked, to_regclass('dsproxy_dead_letters') is not null as buries`,
  );
  return { columns: new Map(rows.map(({ name, type }) => [name, type])), ...found! };
}

async function isComplete(session: Session): Promise<boolean> {
  const { columns, indexed, marked, buries } = await inspect(session);
  checkTypes(columns);
  return indexed && marked && buries && COLUMNS.every(({ name }) => columns.has(name));
}

function checkTypes(columns: Map<string, string>): void {
  if (columns.size === 0) return;
  for (const { name, type, own } of COLUMNS) {
    const found = columns.get(name);
    if (found === undefined && own === "") {
      throw new Error(`The table user_data has no column ${name} (${type}): add it, or use another database.`);
    }
    if (found !== undefined && found !== type && !(type === "text" && found.startsWith("character varying"))) {
      throw new Error(
        `The column user_data.${name} is of type ${found}, but ${type} is needed: change it, or use another database.`,
      );
    }
  }
}

async function migrate(session: Session, index: string): Promise<void> {
  await session.query("select pg_advisory_xact_lock($1)", [MIGRATION_LOCK]);
  await session.query("create table if not exists user_data (user_id text, value text, ts bigint)");
  // Looked at again behind the lock: another instance may have done it all meanwhile.
  const { columns, indexed, marked, buries } = await inspect(session);
  checkTypes(columns);
  const additions = COLUMNS.filter(({ name }) => !columns.has(name)).map(({ name, own }) =>
    `add column ${name} ${own}`
  );
  if (additions.length > 0) await session.query(`alter table user_data ${additions.join(", ")}`);
  if (!indexed) await session.query(index);
  if (!marked) {
    await session.query(
      "create table dsproxy_marks (source text primary key, seq bigint not null, updated_at timestamptz not null default now())",
    );
  }
  if (!buries) {
    await session.query(
      `create table dsproxy_dead_letters (source text not null, id text not null, user_id text not null,
      value text not null, ts bigint not null, accepted_ms bigint not null, instance text not null, seq bigint not null,
      code text not null, message text not null, failed_at timestamptz not null default now(), attempts int not null default 1,
      primary key (source, seq))`,
    );
    await session.query("create index dsproxy_dead_letters_id on dsproxy_dead_letters (id)");
  }
}
