/** Looks for `dsproxy doctor` at how the server is set up, and changes nothing there. */
import { clockRemark, type Remark } from "../../ports/remark.ts";
import type { Connections } from "./connections.ts";
import type { Session } from "./session.ts";

interface ExamineOptions {
  readonly poolSize: number;
  /** The server is on this machine, so that nobody else is on the way to it. */
  readonly isLocal: boolean;
}

interface Facts {
  readonly version: string;
  readonly synchronous_commit: string;
  readonly fsync: string;
  readonly full_page_writes: string;
  readonly max_connections: number;
  readonly reserved: number;
  readonly role_limit: number;
  readonly used: number;
  readonly standbys: number;
  readonly lag_seconds: number | null;
  readonly standby: boolean;
  readonly encrypted: boolean;
  readonly now_ms: number;
}

const LIMIT_MS = 5_000;
/** A replica that is further behind lacks so much if it takes over now. */
const LAG_SECONDS = 30;
/** While the index is built there are two more for each instance. */
const INDEX_CONNECTIONS = 2;

const FACTS = `select current_setting('server_version') as version,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('max_connections')::int as max_connections,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true)::int, 0) as reserved,
  (select rolconnlimit from pg_roles where rolname = current_user) as role_limit,
  (select count(*)::int from pg_stat_activity where backend_type = 'client backend'
    and pid <> pg_backend_pid()) as used,
  (select count(*)::int from pg_stat_replication) as standbys,
  (select max(extract(epoch from replay_lag))::float8 from pg_stat_replication) as lag_seconds,
  pg_is_in_recovery() as standby,
  coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as encrypted,
  extract(epoch from clock_timestamp())::float8 * 1000 as now_ms`;

/** @throws what the server could not be asked for */
export async function examinePostgres(
  connections: Connections,
  options: ExamineOptions,
): Promise<readonly Remark[]> {
  return await connections.run(LIMIT_MS, async (session) => {
    // The first question pays for the connection, which is not to count among the clock's errors.
    await session.query("select 1");
    const beforeMs = Date.now();
    const facts = await factsOf(session);
    const clock = clockRemark(facts.now_ms, { beforeMs, afterMs: Date.now() });
    return [
      server(facts),
      durability(facts),
      synchronousCommit(facts),
      room(facts, options.poolSize),
      replication(facts),
      encryption(facts, options.isLocal),
      clock,
    ];
  });
}

async function factsOf(session: Session): Promise<Facts> {
  const { rows } = await session.query<Facts>(FACTS);
  return rows[0]!;
}

function server({ version, standby }: Facts): Remark {
  const found = `PostgreSQL ${version.replace(/ .*/, "")} answers`;
  if (!standby) return { topic: "server", grade: "ok", found };
  return {
    topic: "server",
    grade: "problem",
    found: `${found}, as a standby in recovery, which takes no writes`,
    advice: "Name the primary, or all hosts with target_session_attrs=read-write.",
  };
}

function durability({ fsync, full_page_writes }: Facts): Remark {
  if (fsync === "on" && full_page_writes === "on") {
    return { topic: "fsync", grade: "ok", found: "fsync and full_page_writes are on" };
  }
  return {
    topic: "fsync",
    grade: "problem",
    found: `fsync is ${fsync}, full_page_writes is ${full_page_writes}: a crash of its machine ` +
      "may lose confirmed rows, or damage the database",
    advice: "Turn both on; the service's batches need no such speed.",
  };
}

function synchronousCommit({ synchronous_commit, standbys }: Facts): Remark {
  const topic = "synchronous_commit";
  const found = `synchronous_commit is ${synchronous_commit}`;
  if (synchronous_commit === "off") {
    return {
      topic,
      grade: "note",
      found: `${found}; the service turns it on for its own transactions`,
      advice: "Nothing has to be done for dsProxy: other programs may lose what they committed.",
    };
  }
  if (synchronous_commit === "local" && standbys > 0) {
    return {
      topic,
      grade: "note",
      found: `${found}: a standby that takes over may lack the last rows`,
      advice: "Keep JOURNAL_RETAIN longer than a failover takes: the journal sends them again.",
    };
  }
  return { topic, grade: "ok", found };
}

function room(
  { max_connections, reserved, role_limit, used }: Facts,
  poolSize: number,
): Remark {
  const topic = "connections";
  const most = Math.min(max_connections - reserved, role_limit < 0 ? Infinity : role_limit);
  const wanted = poolSize + INDEX_CONNECTIONS;
  const found = `${most} connections may be open, ${used} are now; an instance takes ` +
    `DB_POOL_SIZE=${poolSize}, and ${INDEX_CONNECTIONS} while it builds the index`;
  if (wanted > most) {
    return {
      topic,
      grade: "problem",
      found,
      advice: "Raise max_connections (or the role's limit), or lower DB_POOL_SIZE.",
    };
  }
  if (most - used < wanted) {
    return {
      topic,
      grade: "risk",
      found: `${found}: one more instance does not fit`,
      advice: "Raise max_connections, lower DB_POOL_SIZE, or put PgBouncer between, before you " +
        "start another one (those of a running instance are among them).",
    };
  }
  return { topic, grade: "ok", found: `${found}: room for ${Math.floor(most / poolSize)} in all` };
}

function replication({ standbys, lag_seconds }: Facts): Remark {
  const topic = "replication";
  if (standbys === 0) {
    return { topic, grade: "ok", found: "no standby follows it, as far as this role may see" };
  }
  const lag = lag_seconds === null
    ? "a lag that this role may not see, or none"
    : `${lag_seconds.toFixed(1)} s behind at most`;
  const found = `standbys: ${standbys}, ${lag}`;
  if ((lag_seconds ?? 0) < LAG_SECONDS) return { topic, grade: "ok", found };
  return {
    topic,
    grade: "risk",
    found,
    advice: "Find out what holds it up: if it took over now, the journal would have to send " +
      "that much again.",
  };
}

function encryption({ encrypted }: Facts, isLocal: boolean): Remark {
  const topic = "tls";
  if (encrypted) return { topic, grade: "ok", found: "the connection is encrypted" };
  if (isLocal) return { topic, grade: "ok", found: "unencrypted, on this machine" };
  return {
    topic,
    grade: "risk",
    found: "the connection is not encrypted, and leaves this machine",
    advice: "Set DB_SSLMODE=verify-full, and DB_SSLROOTCERT where the authority is your own.",
  };
}
