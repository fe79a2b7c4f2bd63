/**
 * A primary and its standby that change places, and an address that leads to the wrong one of them
 * for a while.
 */
import { eventually } from "../support/dsproxy.ts";
import { FaultProxy } from "../support/fault_proxy.ts";
import { once, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { promote, startStandby } from "../support/standby.ts";
import { delay } from "../support/services.ts";
import {
  live,
  READS_FROM_STORE,
  type Surrounding,
  untilCommitted,
  untilEmpty,
} from "./surrounding.ts";

/**
 * Nothing is committed that the standby does not show: only so can a failover lose nothing, and a
 * standby answer reads.
 */
async function waitForStandby(primary: PostgresServer): Promise<void> {
  await once(primary.url, async (sql) => {
    await sql.unsafe("alter system set synchronous_standby_names = '*'");
    await sql.unsafe("alter system set synchronous_commit = 'remote_apply'");
    await sql`select pg_reload_conf()`;
  });
}

async function withStandby<T>(
  work: (primary: PostgresServer, standby: PostgresServer) => Promise<T>,
): Promise<T> {
  await using primary = await startPostgres();
  await using standby = await startStandby(primary);
  await waitForStandby(primary);
  return await work(primary, standby);
}

/** Both addresses, that of the standby first. */
function urlOfBoth(server: PostgresServer, standbyPort: number, primaryPort: number): string {
  const { username, password, pathname } = new URL(server.url);
  const hosts = `127.0.0.1:${standbyPort},127.0.0.1:${primaryPort}`;
  return `postgres://${username}:${password}@${hosts}${pathname}?target_session_attrs=read-write`;
}

const failover: Surrounding["run"] = async (rounds, random) => {
  const servers: PostgresServer[] = [];
  try {
    servers.push(await startPostgres());
    servers.push(await startStandby(servers[0]!));
    await waitForStandby(servers[0]!);
    await using first = FaultProxy.to(servers[1]!.port);
    await using second = FaultProxy.to(servers[0]!.port);
    const network = [first, second];
    return await live(
      {
        databaseUrl: servers[0]!.url,
        settings: {
          DATABASE_URL: urlOfBoth(servers[0]!, first.port, second.port),
          ...READS_FROM_STORE,
        },
        happen: async (scene, round) => {
          const [old, next] = servers.slice(-2) as [PostgresServer, PostgresServer];
          await old.kill();
          await delay(random.between(0, 500));
          await promote(next);
          scene.databaseUrl = next.url;
          if (round === rounds - 1) return;
          const standby = await startStandby(next);
          servers.push(standby);
          await waitForStandby(next);
          network[(round + 1) % 2]!.targetPort = standby.port;
        },
      },
      rounds,
      random,
    );
  } finally {
    for (const server of servers) await server.dispose();
  }
};

/**
 * The standby is asynchronous and cut off for a while before it takes over: what was committed in
 * that time is not in it. Nobody reads from the primary's end on until the service has sent that
 * again: what a new primary lacks can be known only once a flush has met it.
 */
const failoverThatLosesCommits: Surrounding["run"] = async (rounds, random) => {
  const servers: PostgresServer[] = [];
  try {
    servers.push(await startPostgres());
    await using first = FaultProxy.to(servers[0]!.port);
    await using second = FaultProxy.to(servers[0]!.port);
    const network = [second, first];
    return await live(
      {
        databaseUrl: servers[0]!.url,
        settings: {
          DATABASE_URL: urlOfBoth(servers[0]!, first.port, second.port),
          ...READS_FROM_STORE,
        },
        happen: async (scene, round) => {
          const [proxy] = scene.proxies;
          const old = servers.at(-1)!;
          await using replication = FaultProxy.to(old.port);
          const next = await startStandby(old, replication.urlOf(old.url));
          servers.push(next);
          await untilCommitted(proxy!, 60_000);
          replication.weather = "refuse";
          replication.cut();
          await delay(random.between(500, 1_500));
          await untilCommitted(proxy!, 60_000);
          await scene.load.pause();
          const before = await proxy!.metric("dsproxy_store_went_back_total");
          await old.kill();
          await promote(next);
          scene.databaseUrl = next.url;
          network[round % 2]!.targetPort = next.port;
          await eventually("it says that the database went back", async () => {
            await untilCommitted(proxy!, 60_000);
            return await proxy!.metric("dsproxy_store_went_back_total") > before;
          });
          await untilEmpty(proxy!);
          scene.load.use(proxy!);
        },
      },
      rounds,
      random,
    );
  } finally {
    for (const server of servers) await server.dispose();
  }
};

const addressMoves: Surrounding["run"] = (rounds, random) =>
  withStandby(async (primary, standby) => {
    await using address = FaultProxy.to(primary.port);
    // So few that all of them have come to the standby.
    const settings = {
      DATABASE_URL: address.urlOf(primary.url),
      DB_POOL_SIZE: "2",
      ...READS_FROM_STORE,
    };
    const happen = async () => {
      address.targetPort = standby.port;
      address.cut();
      await delay(random.between(2_000, 4_000));
      // As a DNS name or a virtual address does: connections to the standby live on.
      address.targetPort = primary.port;
    };
    return await live(
      { databaseUrl: primary.url, settings, commitLimitMs: 20_000, happen },
      rounds,
      random,
    );
  });

export const FAILOVER: readonly Surrounding[] = [
  {
    name: "a failover",
    how: "`DATABASE_URL` with both hosts, the standby first, `target_session_attrs=read-write`; " +
      "the primary is killed, the standby promoted",
    rounds: { few: 1, many: 3 },
    mayRefuse: "between the end of the primary and the promotion",
    run: failover,
  },
  {
    name: "a failover that loses commits",
    how: "to an asynchronous standby that was cut off before; what it lacks is there again, once",
    rounds: { few: 1, many: 3 },
    mayRefuse: "between the end of the primary and the promotion",
    run: failoverThatLosesCommits,
  },
  {
    name: "an address that moves",
    how: "from the primary to a standby, and back, while connections to the standby live on",
    rounds: { few: 1, many: 6 },
    mayRefuse: "as the connections end",
    run: addressMoves,
  },
];
