/**
 * Builds the index that makes the latest entry of a user one look-up. Reads are right without it,
 * only slower, so it is built while the service works, and CONCURRENTLY, so that nobody is held up:
 * neither readers nor writers wait for it.
 *
 * - One instance works at a time: it claims the step in `dsproxy_store`. A claim ends by itself;
 *   what is being built is seen by its lock on the table (pg_locks), however long it takes and
 *   whoever builds it. Two builds of one table would deadlock.
 * - What an interrupted build left behind is invalid: it is dropped, and built anew.
 * - A partitioned table cannot be indexed CONCURRENTLY: its partitions are, one after the other,
 *   and then joined under one index, which is a matter of milliseconds (the server takes equal
 *   indexes over), as is a partition that is added later.
 * - When the call ends, the connection's owner cancels the statement. After a `kill -9` the server
 *   goes on to the end of it, as it looks for its client only when it has something to say: the
 *   next start finds a build under way and waits for it, or the finished index.
 */
import { StoreRefusesError } from "../../errors.ts";
import { changeInPassing } from "./brief_lock.ts";
import { isPartitioned, type Part, readParts } from "./catalogue.ts";
import type { Connections } from "./connections.ts";
import { createIndex, INDEX_NAME, type IndexVariant } from "./ddl.ts";
import { pause } from "./pause.ts";
import type { MigrationOptions } from "./schema.ts";
import type { Session } from "./session.ts";
import { INSUFFICIENT_PRIVILEGE, sqlStateOf } from "./sql_state.ts";

interface IndexOptions extends MigrationOptions {
  /** All of it may take so long; the default is six hours. */
  readonly limitMs?: number;
  /** It looks so often whether another instance is done; the default is 1 s. */
  readonly pollMs?: number;
}

/** The largest of tables take hours. */
const DEFAULT_LIMIT_MS = 6 * 3_600_000;
/** A build takes minutes, so that a second more is no matter. */
const DEFAULT_POLL_MS = 1_000;
/** Looks and claims take milliseconds: beyond this the server is away. */
const STATEMENT_LIMIT_MS = 10_000;
/** It is as patient as the columns are (schema.ts). */
const PATIENCE_MS = 30_000;
/**
 * A claim lasts from when it is made until the build's lock is to be seen: so long is for a slow
 * network and a busy machine.
 */
const CLAIM_SECONDS = 30;
/**
 * After so many failures in a row, with somebody else who works on the table, a person may want to
 * know.
 */
const MAX_FAILURES = 5;

const OUR_NAME = new RegExp(`^${INDEX_NAME}(_\\d+)?$`);
const PROGRAM_LIMIT_EXCEEDED = "54000";
const SERIALIZATION_FAILURE = "40001";
const QUERY_CANCELED = "57014";
/** Deadlock, lock not available, duplicate table: somebody else worked on it at the same time. */
const COLLISIONS = ["40P01", "55P03", "42P07"];

/**
 * Returns when the index is there, whoever built it. To be called after `ensureTables`.
 * @throws StoreRefusesError when the role may not build it; any other error may pass, and the call
 *   be repeated
 */
export async function ensureIndex(
  connections: Connections,
  options: IndexOptions = {},
): Promise<void> {
  const { limitMs = DEFAULT_LIMIT_MS, pollMs = DEFAULT_POLL_MS, signal } = options;
  const giveUpAt = performance.now() + limitMs;
  let wanted: IndexVariant = "full";
  for (let failures = 0;;) {
    const step = await nextStep(connections, wanted);
    if (step === undefined) return;
    checkRights(step);
    const leftMs = giveUpAt - performance.now();
    if (leftMs <= 0) {
      throw new Error(
        `The index ${INDEX_NAME} is not there after ${limitMs} ms: who else works on it?`,
      );
    }
    const claimed = step.blocked ? undefined : await claim(connections);
    if (claimed === undefined) {
      await pause(pollMs, signal);
      continue;
    }
    try {
      await takeStep(connections, step, wanted, leftMs, options);
    } catch (error) {
      const code = sqlStateOf(error);
      if (code === PROGRAM_LIMIT_EXCEEDED && wanted === "full") wanted = "partial";
      else if (code === undefined || !COLLISIONS.includes(code) || ++failures > MAX_FAILURES) {
        throw await explained(connections, step, error);
      } else await pause(pollMs * failures, signal);
    } finally {
      await release(connections, claimed);
    }
  }
}

interface Step {
  readonly part: Part;
  readonly statement: string;
  /**
   * It is true where the step runs CONCURRENTLY; else it runs in passing, as PostgreSQL has no
   * other way.
   */
  readonly concurrently: boolean;
  /** It is true while somebody else is at it. */
  readonly blocked: boolean;
}

/**
 * Finds out for the check what the index still needs.
 * @returns the first statement that the index needs; undefined when it is there
 * @throws StoreRefusesError when the role may not run it
 */
export async function checkIndexRights(session: Session): Promise<string | undefined> {
  const step = stepOf(await readParts(session, INDEX_NAME), "full");
  if (step !== undefined) checkRights(step);
  return step?.statement;
}

/** Returns true when every look-up of a user's rows is served by the index. */
export async function isIndexed(session: Session): Promise<boolean> {
  return stepOf(await readParts(session, INDEX_NAME), "full") === undefined;
}

async function nextStep(connections: Connections, wanted: IndexVariant): Promise<Step | undefined> {
  return stepOf(
    await connections.run(STATEMENT_LIMIT_MS, (session) => readParts(session, INDEX_NAME)),
    wanted,
  );
}

function stepOf(parts: readonly Part[], wanted: IndexVariant): Step | undefined {
  const root = parts[0];
  if (root === undefined) {
    throw new Error("The table user_data is gone: was the database replaced?");
  }
  const joined = !isPartitioned(root) || root.indexes.some(({ variant }) => variant !== undefined);
  const leaves = parts.filter((part) => !isPartitioned(part));
  // The indexes of partitions are joined only when all are alike.
  const variant = !joined && leaves.some((leaf) => hasPartial(leaf)) ? "partial" : wanted;
  const building = parts.some(({ busy, indexes }) =>
    busy && indexes.some(({ valid, name }) => !valid && isOurs(name))
  );
  for (const part of leaves) {
    const serves = (index: Part["indexes"][number]) =>
      index.valid && index.variant !== undefined && (joined || index.variant === variant);
    if (part.indexes.some(serves)) continue;
    const leftover = part.indexes.find(({ name, valid, attached, variant }) =>
      isOurs(name) && !attached && (!valid || variant !== undefined)
    );
    const statement = leftover === undefined
      ? createIndex(nameFor(part, root), part.name, variant, "concurrently")
      : `drop index concurrently if exists ${leftover.qualified}`;
    return { part, statement, concurrently: true, blocked: part.busy || building };
  }
  if (joined) return undefined;
  const statement = createIndex(nameFor(root, root), root.name, variant, "");
  return { part: root, statement, concurrently: false, blocked: building };
}

const isOurs = (name: string) => OUR_NAME.test(name);
const hasPartial = ({ indexes }: Part) =>
  indexes.some(({ name, variant }) => isOurs(name) && variant === "partial");

/** The name may be taken by a table that was `user_data` before. */
function nameFor(part: Part, root: Part): string {
  return part === root && !part.nameTaken ? INDEX_NAME : `${INDEX_NAME}_${part.oid}`;
}

/**
 * Takes one step, under a claim. What was seen before the claim must be seen again behind it. For
 * one, another instance may have done it meanwhile; besides, a build that ends during a look may
 * show as invalid and yet without its lock.
 */
async function takeStep(
  connections: Connections,
  { statement }: Step,
  wanted: IndexVariant,
  limitMs: number,
  { patienceMs = PATIENCE_MS, signal }: IndexOptions,
): Promise<void> {
  const step = await nextStep(connections, wanted);
  if (step === undefined || step.blocked || step.statement !== statement) return;
  if (step.concurrently) await connections.run(limitMs, (session) => session.query(statement));
  else {await changeInPassing(
      connections,
      { table: step.part.name, mode: "share", statement },
      patienceMs,
      signal,
    );}
}

/**
 * Claims the next step.
 * @returns what to release; undefined when somebody else has the claim
 */
async function claim(connections: Connections): Promise<string | undefined> {
  // A claim from the future is that of a clock that was set back.
  const statement = `update dsproxy_store set index_claimed_at = clock_timestamp()
    where index_claimed_at not between clock_timestamp() - interval '${CLAIM_SECONDS} s'
      and clock_timestamp() + interval '${CLAIM_SECONDS} s'
    returning index_claimed_at::text as claimed`;
  try {
    const { rows } = await connections.run(
      STATEMENT_LIMIT_MS,
      (session) => session.query<{ claimed: string }>(statement),
    );
    return rows[0]?.claimed;
  } catch (error) {
    // In the stricter isolation levels the second of two does not wait and look again.
    if (sqlStateOf(error) === SERIALIZATION_FAILURE) return undefined;
    throw error;
  }
}

async function release(connections: Connections, claimed: string): Promise<void> {
  const statement =
    "update dsproxy_store set index_claimed_at = 'epoch' where index_claimed_at = $1::timestamptz";
  // A claim that cannot be released ends by itself, and the reason of the failure matters more than
  // this one.
  await connections.run(STATEMENT_LIMIT_MS, (session) => session.query(statement, [claimed])).catch(
    () => {},
  );
}

function checkRights({ part, statement }: Step): void {
  const reason = !part.owned
    ? `may not index the table ${part.name}, which belongs to ${part.owner}`
    : !part.mayCreate
    ? `may not create an index in the schema ${part.schema}`
    : undefined;
  if (reason !== undefined) throw refusal(`The role of this service ${reason}`, statement);
}

function refusal(reason: string, statement: string, cause?: unknown): StoreRefusesError {
  return new StoreRefusesError(
    INSUFFICIENT_PRIVILEGE,
    `${reason}. Reads are right without the index, but slow. Let the table's owner or a ` +
      `superuser run this: ${statement};`,
    { cause },
  );
}

async function explained(
  connections: Connections,
  { statement }: Step,
  error: unknown,
): Promise<unknown> {
  const { message } = error as Error;
  if (sqlStateOf(error) === INSUFFICIENT_PRIVILEGE) return refusal(message, statement, error);
  if (sqlStateOf(error) !== QUERY_CANCELED || !/statement timeout/.test(message)) return error;
  const { rows } = await connections.run(
    STATEMENT_LIMIT_MS,
    (session) =>
      session.query<{ role: string; timeout: string }>(
        "select current_user as role, current_setting('statement_timeout') as timeout",
      ),
  );
  const { role, timeout } = rows[0]!;
  return new Error(
    `The index cannot be built within the statement_timeout of the role ${role} (${timeout}). ` +
      `Raise it, or run this as the owner of the table: ${statement};`,
    { cause: error },
  );
}
