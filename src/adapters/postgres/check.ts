/**
 * Tries for `--check-config` what the service will do, in one transaction that is rolled back, and
 * names what is in its way. Nothing of it stays but numbers drawn from sequences; nobody is held
 * up, as what would need a lock that shuts others out is only looked up.
 */
import { StoreRefusesError } from "../../errors.ts";
import { type Catalogue, checkUsable, missingFrom, readCatalogue } from "./catalogue.ts";
import type { Connections } from "./connections.ts";
import { createTables } from "./ddl.ts";
import { checkIndexRights } from "./latest_index.ts";
import { constraintFindings, type Finding, noteFindings } from "./check_catalogue.ts";
import { rightsFindings } from "./check_rights.ts";
import { probeTables } from "./check_probes.ts";
import { checkRights } from "./schema.ts";
import type { Session } from "./session.ts";
import { sqlStateOf } from "./sql_state.ts";

export interface Findings {
  /**
   * With these the service would not work, or not for every row. Each says what, why it matters and
   * what to do.
   */
  readonly problems: readonly string[];
  /** These are good to know, and keep nothing from working. */
  readonly notes: readonly string[];
}

/** All tries together may take so long, each of them five seconds: a person waits. */
const CHECK_LIMIT_MS = 15_000;

/**
 * Never hangs for longer than its limit.
 * @param hasGroups entries come by a broker, which needs one more table
 * @throws what the server could not be asked for: no connection, a wrong password, an unknown error
 */
export async function checkPostgres(
  connections: Connections,
  hasGroups = false,
): Promise<Findings> {
  const findings: Finding[] = [];
  const enough = new Error("Rolled back on purpose: it was only a try");
  try {
    await connections.transaction(CHECK_LIMIT_MS, async (session) => {
      findings.push(...await tryAll(session, hasGroups));
      throw enough;
    });
  } catch (error) {
    if (error !== enough) findings.push({ problem: whyNoTransaction(error) });
  }
  return {
    problems: findings.flatMap(({ problem }) => problem ?? []),
    notes: findings.flatMap(({ note }) => note ?? []),
  };
}

const STATEMENT_POOLING =
  "PgBouncer pools statements here, so there are no transactions, and nothing could be written " +
  "exactly once: set pool_mode = transaction (or session) for this database in its " +
  "configuration.";

/**
 * Says why there is no transaction to try things in.
 * @throws the error itself where it says nothing about the configuration
 */
function whyNoTransaction(error: unknown): string {
  // The pool says it in its own words, a plain connection in PgBouncer's.
  if (error instanceof StoreRefusesError) return error.message;
  if (error instanceof Error && /statement pooling mode/.test(error.message)) {
    return STATEMENT_POOLING;
  }
  throw error;
}

async function tryAll(session: Session, hasGroups: boolean): Promise<Finding[]> {
  // The limit is local to the transaction; a running service may hold a row for a moment.
  await session.query(
    "select set_config('lock_timeout', '2s', true), set_config('statement_timeout', '5s', true)",
  );
  const readOnly = await readOnlyFinding(session);
  if (readOnly !== undefined) return [{ problem: readOnly }];
  const catalogue = await readCatalogue(session);
  const unusable = refusalOf(() => checkUsable(catalogue));
  if (unusable !== undefined) return [{ problem: unusable }];
  const findings = [
    ...await constraintFindings(session, catalogue),
    ...await noteFindings(session, catalogue),
  ];
  const migration = await tryMigration(session, catalogue);
  findings.push(...migration);
  if (migration.some(({ problem }) => problem !== undefined)) {
    findings.push(
      ...await probeTables(session, catalogue, missingFrom(catalogue).tables, findings),
    );
  } else {
    findings.push(
      ...await probeTables(session, catalogue, [], findings),
      ...await rightsFindings(session, catalogue, hasGroups),
      ...await indexFindings(session, catalogue),
    );
  }
  return findings;
}

async function readOnlyFinding(session: Session): Promise<string | undefined> {
  const { rows } = await session.query<{ read_only: string; standby: boolean }>(
    "select current_setting('transaction_read_only') as read_only, pg_is_in_recovery() as standby",
  );
  const { read_only, standby } = rows[0]!;
  if (standby) {
    return "The server is a standby, which takes no writes: name the primary, or all hosts with " +
      "target_session_attrs=read-write.";
  }
  if (read_only === "off") return undefined;
  return "Sessions of this role are read-only here, so nothing could be written: set " +
    "default_transaction_read_only to off for it.";
}

function refusalOf(look: () => void): string | undefined {
  try {
    look();
  } catch (error) {
    if (error instanceof StoreRefusesError) return error.message;
    throw error;
  }
}

/**
 * Creates missing tables in the transaction; columns of somebody's table are only looked up, as
 * they need a lock that shuts others out.
 */
async function tryMigration(session: Session, catalogue: Catalogue): Promise<Finding[]> {
  const { tables, columns } = missingFrom(catalogue);
  if (tables.length + columns.length === 0) return [];
  const refused = refusalOf(() => checkRights(catalogue));
  if (refused !== undefined) return [{ problem: refused }];
  try {
    await session.query("savepoint migration");
    for (const statement of createTables(catalogue.schema!, tables, crypto.randomUUID())) {
      await session.query(statement);
    }
  } catch (error) {
    if (sqlStateOf(error) === undefined) throw error;
    await session.query("rollback to savepoint migration");
    return [{
      problem: `The tables of dsProxy cannot be created in the schema ${catalogue.schema}: ${
        (error as Error).message
      } (${sqlStateOf(error)}). Change what refuses it, or create them by hand.`,
    }];
  }
  const created = tables.length === 0
    ? []
    : [`create ${tables.join(", ")} in the schema ${catalogue.schema}`];
  const added = columns.length === 0
    ? []
    : [`add ${columns.join(", ")} to ${catalogue.userData!.name}`];
  return [{ note: `The first start will ${[...created, ...added].join(" and ")}.` }];
}

async function indexFindings(session: Session, { userData }: Catalogue): Promise<Finding[]> {
  if (userData === null) return [];
  try {
    const statement = await checkIndexRights(session);
    return statement === undefined
      ? []
      : [{ note: `The first start will run, without holding anybody up: ${statement}` }];
  } catch (error) {
    if (error instanceof StoreRefusesError) return [{ problem: error.message }];
    throw error;
  }
}
