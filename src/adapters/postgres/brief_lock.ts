/**
 * Takes a lock that shuts others out of their table in passing, or not at all. Whoever queues for
 * such a lock makes everybody who comes after queue too, so a long transaction would freeze the
 * table for as long as it lasts. Therefore:
 *
 * - the first try does not queue (NOWAIT);
 * - after it we only look (pg_locks) until everybody who holds the table has come within the last
 *   moment: no long transaction is there;
 * - then, and ever more seldom, we queue for {@link QUEUE_MS}: short transactions are over by then.
 *   At most so long is anybody held up;
 * - lock and change are one statement. A client that freezes, or a network that breaks, cannot
 *   leave the lock behind.
 */
import { StoreUnavailableError } from "../../errors.ts";
import { describeProcesses, readHolders } from "./catalogue.ts";
import type { Connections } from "./connections.ts";
import { pause } from "./pause.ts";
import { sqlStateOf } from "./sql_state.ts";

export interface Change {
  /** It is named with its schema; its partitions are locked with it. */
  readonly table: string;
  /** `share` lets others read, `access exclusive` shuts everybody out. */
  readonly mode: "share" | "access exclusive";
  readonly statement: string;
}

/**
 * This is longer than most transactions, and shorter than anybody notices (ADR 9 has what was
 * measured).
 */
const QUEUE_MS = 20;
/** Whoever holds the table in two looks in a row is taken for a long transaction. */
const LOOK_INTERVAL_MS = 150;
/**
 * Anybody is held up for at most a tenth of the time at first, and for a five-hundredth later on.
 */
const FIRST_QUEUE_PAUSE_MS = 200;
const LAST_QUEUE_PAUSE_MS = 10_000;
/** Each statement waits for milliseconds at most: beyond this the server is away. */
const STATEMENT_LIMIT_MS = 10_000;
const LOCK_NOT_AVAILABLE = "55P03";

/**
 * Makes the change in a moment in which nobody holds the table.
 * @throws StoreUnavailableError naming who holds the table when there was no moment for the change
 *   within `patienceMs`
 */
export async function changeInPassing(
  connections: Connections,
  change: Change,
  patienceMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  if (await tryChange(connections, change, "nowait")) return;
  let queueAt = 0;
  let queuePauseMs = FIRST_QUEUE_PAUSE_MS;
  let before = await holders(connections, change);
  for (;;) {
    await pause(LOOK_INTERVAL_MS, signal);
    const now = await holders(connections, change);
    const lasting = [...now.keys()].filter((holder) => before.has(holder));
    before = now;
    if (lasting.length === 0 && performance.now() >= queueAt) {
      if (await tryChange(connections, change, "queue")) return;
      queueAt = performance.now() + queuePauseMs;
      queuePauseMs = Math.min(queuePauseMs * 3, LAST_QUEUE_PAUSE_MS);
    }
    if (performance.now() > giveUpAt) throw await noMoment(connections, change, now);
  }
}

/** Makes the change where the lock is to be had; returns false when it was not. */
async function tryChange(
  connections: Connections,
  change: Change,
  how: "nowait" | "queue",
): Promise<boolean> {
  const { table, mode, statement } = change;
  // Partitions are never queued for: the time would add up while their parent is shut already.
  const text = `do $dsproxy$ begin
    perform set_config('lock_timeout', '${QUEUE_MS}ms', true);
    lock table only ${table} in ${mode} mode ${how === "nowait" ? "nowait" : ""};
    lock table ${table} in ${mode} mode nowait;
    ${statement};
  end $dsproxy$`;
  try {
    await connections.run(STATEMENT_LIMIT_MS, (session) => session.query(text));
    return true;
  } catch (error) {
    if (sqlStateOf(error) === LOCK_NOT_AVAILABLE) return false;
    throw error;
  }
}

function holders(connections: Connections, { mode }: Change): Promise<Map<string, number | null>> {
  return connections.run(
    STATEMENT_LIMIT_MS,
    (session) => readHolders(session, mode === "access exclusive"),
  );
}

async function noMoment(
  connections: Connections,
  change: Change,
  held: Map<string, number | null>,
): Promise<StoreUnavailableError> {
  const pids = [...held.values()].filter((pid) => pid !== null);
  const who = pids.length > 0
    ? await connections.run(STATEMENT_LIMIT_MS, (session) => describeProcesses(session, pids))
    : held.size > 0
    ? "a prepared transaction"
    : "many short transactions";
  return new StoreUnavailableError(
    `${change.table} has to be changed once, but is never free for it: it is held by ${who}. ` +
      "This goes on being tried; end what holds it, or run at a quieter time: " +
      `${change.statement}`,
  );
}
