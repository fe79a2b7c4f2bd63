/**
 * Does, for the check, as the service does: each statement is behind a savepoint, so that one
 * refusal does not hide the next.
 */
import { type Catalogue, missingFrom } from "./catalogue.ts";
import type { Finding } from "./check_catalogue.ts";
import { INDEXED_KEY_BYTES } from "./ddl.ts";
import type { Result, Session } from "./session.ts";
import { INSUFFICIENT_PRIVILEGE, sqlStateOf } from "./sql_state.ts";
import { COLUMNS, NEWEST_FIRST } from "./user_data.ts";

interface Probe {
  readonly table: string;
  readonly privilege: "select" | "insert" | "update" | "delete";
  readonly statement: string;
  readonly parameters: readonly unknown[];
  /**
   * It says what is wrong though the statement went through, and returns undefined when all is
   * well.
   */
  readonly verify?: (result: Result<{ found?: string | null }>) => string | undefined;
  /** It is true when without it the following probe would say the same in other words. */
  readonly first?: boolean;
}

/** A foreign key, a check and an exclusion refuse with these. */
const CONTENT_CONSTRAINTS = ["23503", "23514", "23P01"];
/** These are no refusals: the connection, the server or its resources are at fault. */
const NOT_A_REFUSAL = /^(08|53|57|58|XX)/;

/**
 * Tries the statements of the service, one after the other.
 * @param absent tables that cannot be tried, because they are not there and cannot be created
 * @param known what was found before: a refusal that it explains is not told again
 */
export async function probeTables(
  session: Session,
  catalogue: Catalogue,
  absent: readonly string[],
  known: readonly Finding[],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const refused = new Set<string>(absent);
  for (const probe of probes(missingFrom(catalogue).columns.length === 0)) {
    if (refused.has(probe.table)) continue;
    const finding = await tryOne(session, catalogue, probe, known);
    if (finding === undefined) continue;
    if (probe.first) refused.add(probe.table);
    findings.push(finding);
  }
  return findings;
}

async function tryOne(
  session: Session,
  catalogue: Catalogue,
  { table, privilege, statement, parameters, verify }: Probe,
  known: readonly Finding[],
): Promise<Finding | undefined> {
  await session.query("savepoint probe");
  try {
    const result = await session.query<{ found?: string | null }>(statement, parameters);
    const problem = verify?.(result);
    return problem === undefined ? undefined : { problem };
  } catch (error) {
    const code = sqlStateOf(error);
    if (code === undefined || NOT_A_REFUSAL.test(code)) throw error;
    await session.query("rollback to savepoint probe");
    if (known.some(({ explains }) => explains === code)) return {};
    if (code === INSUFFICIENT_PRIVILEGE && !await isGranted(session, table, privilege)) {
      return {
        problem: `The role ${catalogue.role} has no right to ${privilege} on ${table}, which ` +
          `the service needs: grant ${privilege} on ${catalogue.schema}.${table} to ` +
          `${catalogue.role}.`,
      };
    }
    return refusal(table, privilege, error as Error & { constraint?: string }, code);
  }
}

/**
 * Words a refusal. A constraint on what is in a row may have nothing against real rows: this one
 * has a user whom nobody knows.
 */
function refusal(
  table: string,
  privilege: string,
  error: Error & { constraint?: string },
  code: string,
): Finding {
  const what = `${table} refuses what the service does (${privilege}): ${error.message} (${code}).`;
  if (table !== "user_data") {
    return { problem: `${what} Change what refuses it: this table belongs to dsProxy alone.` };
  }
  if (CONTENT_CONSTRAINTS.includes(code) && error.constraint !== undefined) {
    return {
      note: `The constraint ${error.constraint} refuses the row of the check, whose user_id ` +
        `and value are made up: ${error.message} (${code}). Rows of yours that it refuses go ` +
        "to the dead letters; those it takes are stored.",
    };
  }
  return {
    problem: `${what} Rows like it would go to the dead letters: change the trigger, policy or ` +
      "constraint that refuses it.",
  };
}

async function isGranted(session: Session, table: string, privilege: string): Promise<boolean> {
  const { rows } = await session.query<{ granted: boolean }>(
    // Rights on single columns are enough where the service names them.
    "select has_table_privilege(to_regclass($1), $2) or ($2 <> 'delete' and " +
      "has_any_column_privilege(to_regclass($1), $2)) as granted",
    [table, privilege],
  );
  return rows[0]!.granted;
}

/**
 * Lists what is tried, in the order of the service.
 * @param extended whether `user_data` has the columns that dsProxy adds
 */
function probes(extended: boolean): Probe[] {
  const id = `dsproxy-check-${crypto.randomUUID()}`;
  const ts = Math.floor(Date.now() / 1_000);
  return [
    { ...insertRow(extended, id, ts, 1), first: true },
    // It is the same user within the same second, and another row all the same.
    insertRow(extended, id, ts, 2),
    readBack(extended, id),
    ...markProbes(id),
    ...deadLetterProbes(id),
    ...storeProbes(),
    ...leaderProbes(),
    {
      table: "user_data",
      privilege: "insert",
      statement: "set constraints all immediate",
      parameters: [],
    },
  ];
}

function insertRow(extended: boolean, id: string, ts: number, seq: number): Probe {
  const columns = COLUMNS.filter(({ added }) => extended || added === undefined);
  const names = columns.map(({ name }) => name).join(", ");
  const places = columns.map((_, i) => `$${i + 1}`).join(", ");
  return {
    table: "user_data",
    privilege: "insert",
    statement: `insert into user_data (${names}) values (${places})`,
    parameters: [id, `${id} ${seq}`, ts, Date.now(), "check", seq].slice(0, columns.length),
    verify: ({ rowCount }) =>
      rowCount === 1
        ? undefined
        : "An insert into user_data goes through, but adds no row: a trigger or a rule drops " +
          "it, so acknowledged writes would be lost. Take it away, or let it leave the rows of " +
          "the service alone.",
  };
}

function readBack(extended: boolean, id: string): Probe {
  return {
    table: "user_data",
    privilege: "select",
    statement: `select value as found from user_data
      where user_id = $1 and octet_length(user_id) <= ${INDEXED_KEY_BYTES} and value is not null
      order by ${extended ? NEWEST_FIRST : "ts desc nulls last"} limit 1`,
    parameters: [id],
    verify: ({ rows: [row] }) => {
      if (row === undefined) {
        return "A row just written to user_data is not found again: a row-level security " +
          "policy, a trigger or a rule hides, changes or drops it, so stored users would be " +
          "answered as absent. Change it for the role of the service.";
      }
      // The second row may have been refused, as another finding says.
      if (row.found === `${id} 2` || row.found === `${id} 1`) return undefined;
      return "A row just written to user_data comes back with another value: a trigger changes " +
        "it, so the database, the cache and the answers would differ. Let it leave the columns " +
        "user_id, value and ts alone.";
    },
  };
}

function markProbes(id: string): Probe[] {
  const table = "dsproxy_marks";
  const parameters = [id];
  return [
    {
      table,
      privilege: "insert",
      statement: `insert into ${table} (source, seq) values ($1, 0) on conflict do nothing`,
      parameters,
    },
    {
      table,
      privilege: "select",
      statement: `select seq from ${table} where source = $1`,
      parameters,
      first: true,
    },
    {
      table,
      privilege: "update",
      statement: `select seq from ${table} where source = $1 for update`,
      parameters,
      first: true,
    },
    {
      table,
      privilege: "update",
      statement: `update ${table} set seq = 1, updated_at = now() where source = $1`,
      parameters,
    },
  ];
}

function deadLetterProbes(id: string): Probe[] {
  const table = "dsproxy_dead_letters";
  const parameters = [id];
  return [
    {
      table,
      privilege: "insert",
      statement: `insert into ${table}
        (source, id, user_id, value, ts, accepted_ms, instance, seq, code, message)
        values ($1, $1, $1, '', 0, 0, '', 1, '', '')`,
      parameters,
    },
    {
      table,
      privilege: "select",
      statement: `select source from ${table} where id = $1`,
      parameters,
      first: true,
    },
    {
      table,
      privilege: "update",
      statement: `update ${table} set attempts = attempts + 1 where id = $1`,
      parameters,
    },
    { table, privilege: "delete", statement: `delete from ${table} where id = $1`, parameters },
  ];
}

/** What the leader does: a lock that keeps a row as it is takes the right to change it. */
function leaderProbes(): Probe[] {
  return ["dsproxy_leader", "dsproxy_lease"].flatMap((table): Probe[] => [
    {
      table,
      privilege: "select",
      statement: `select '1' as found from ${table}`,
      parameters: [],
      verify: ({ rows }) =>
        rows.length === 1
          ? undefined
          : `${table} has lost its row: drop the table, and the next start makes it anew.`,
      first: true,
    },
    {
      table,
      privilege: "update",
      statement: table === "dsproxy_leader"
        ? "update dsproxy_leader set term = term"
        : "update dsproxy_lease set holder = holder",
      parameters: [],
    },
  ]);
}

function storeProbes(): Probe[] {
  const table = "dsproxy_store";
  return [
    {
      table,
      privilege: "select",
      statement: `select identity as found from ${table}`,
      parameters: [],
      verify: ({ rows }) =>
        rows.length === 1
          ? undefined
          : "dsproxy_store has lost its row, which names this database: restore it from a " +
            "backup, or drop the table, and the next start gives the database a new name.",
      first: true,
    },
    {
      table,
      privilege: "update",
      statement: `update ${table} set cache_generation = cache_generation`,
      parameters: [],
    },
  ];
}
