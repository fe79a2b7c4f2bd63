/**
 * A PgBouncer between the service and PostgreSQL, as Debian has it, with nothing set but what is
 * said.
 */
import { type PgBouncerOptions, startPgBouncer } from "../support/pgbouncer.ts";
import { startPostgres } from "../support/postgres.ts";
import { runDdl } from "./postgres.ts";
import { live, READS_FROM_STORE, type Surrounding } from "./surrounding.ts";

/** Two instances behind one PgBouncer, while somebody changes the table. */
function behind(
  options: Pick<PgBouncerOptions, "poolMode" | "poolSize" | "settings">,
  connections: number,
): Surrounding["run"] {
  return async (rounds, random) => {
    await using server = await startPostgres();
    await using pooler = await startPgBouncer({ databaseUrl: server.url, ...options });
    const settings = {
      DATABASE_URL: pooler.url,
      DB_POOL_SIZE: String(connections),
      ...READS_FROM_STORE,
    };
    return await live(
      { databaseUrl: server.url, settings, instances: 2, happen: runDdl },
      rounds,
      random,
    );
  };
}

export const PGBOUNCER: readonly Surrounding[] = [
  {
    name: "PgBouncer, sessions",
    how: "`pool_mode=session`, a pool for the 2 × 4 connections of two instances; DDL meanwhile",
    rounds: { few: 1, many: 5 },
    run: behind({ poolMode: "session", poolSize: 8 }, 4),
  },
  {
    name: "PgBouncer, transactions",
    how: "`pool_mode=transaction`, two instances with 8 connections each share 3; DDL meanwhile",
    rounds: { few: 1, many: 5 },
    run: behind({ poolMode: "transaction", poolSize: 3 }, 8),
  },
  {
    name: "PgBouncer, `DISCARD ALL`",
    how: "the same, and `server_reset_query_always=1`: a session forgets everything after " +
      "each transaction",
    rounds: { few: 1, many: 5 },
    run: behind({
      poolMode: "transaction",
      poolSize: 3,
      settings: { server_reset_query_always: "1" },
    }, 8),
  },
  {
    name: "PgBouncer, one connection for all",
    how: "`pool_mode=transaction`, two instances with a connection each share one; DDL meanwhile",
    rounds: { few: 1, many: 5 },
    run: behind({ poolMode: "transaction", poolSize: 1 }, 1),
  },
];
