/** Real hot standbys for tests: they follow a primary, answer reads, and can be promoted. */
import { once, type PostgresServer, startOnNewData } from "./postgres.ts";
import { delay, output } from "./services.ts";

const CATCH_UP_LIMIT_MS = 20_000;

/**
 * A standby of `primary`, which is to be one of {@link startPostgres}. To be disposed of by the
 * caller, before the primary.
 * @param url by which it reaches the primary
 */
export function startStandby(
  primary: PostgresServer,
  url = primary.url,
): Promise<PostgresServer> {
  return startOnNewData({ hot_standby: "on" }, async ({ command, data, owner }) => {
    // It writes down how to reach the primary, with the password, and that this one is to follow
    // it.
    const how = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"];
    const program = (await Deno.realPath(command)).replace(/postgres$/, "pg_basebackup");
    await output(program, ["-d", url, "-D", data, ...how], owner);
  });
}

/** Returns once it accepts writes; the former primary, if it still runs, knows nothing of that. */
export async function promote(standby: PostgresServer): Promise<void> {
  await once(standby.url, (sql) => sql.unsafe("select pg_promote(true, 20)"));
}

/** Returns once the standby shows all that the primary has committed until now. */
export async function caughtUp(primary: PostgresServer, standby: PostgresServer): Promise<void> {
  const [at] = await once(
    primary.url,
    (sql) => sql.unsafe("select pg_current_wal_lsn()::text as lsn"),
  );
  const giveUpAt = Date.now() + CATCH_UP_LIMIT_MS;
  const behind = `select pg_last_wal_replay_lsn() < '${at!.lsn}'::pg_lsn as behind`;
  while ((await once(standby.url, (sql) => sql.unsafe(behind)))[0]!.behind !== false) {
    if (Date.now() > giveUpAt) {
      throw new Error(`The standby has not reached ${at!.lsn} in ${CATCH_UP_LIMIT_MS} ms`);
    }
    await delay(20);
  }
}
