/** Faults of PostgreSQL and of the way to it. */
import { type Dsproxy, eventually } from "../../support/dsproxy.ts";
import { FaultProxy } from "../../support/fault_proxy.ts";
import { once, type PostgresServer, startPostgres } from "../../support/postgres.ts";
import type { Random } from "../../support/random.ts";
import { delay } from "../../support/services.ts";
import { type Scenario, type Tally, tryFault } from "../scenario.ts";

interface Way {
  readonly server: PostgresServer;
  readonly network: FaultProxy;
  readonly random: Random;
}

type Inject = (way: Way, proxy: Dsproxy) => Promise<void>;

/** A server of one's own behind a network of one's own. */
function scenario(
  fault: string,
  how: string,
  rounds: Scenario["rounds"],
  inject: Inject,
): Scenario {
  const run = async (count: number, random: Random): Promise<Tally> => {
    await using server = await startPostgres();
    await using network = FaultProxy.to(server.port);
    return await tryFault(
      {
        databaseUrl: server.url,
        settings: { DATABASE_URL: network.urlOf(server.url) },
        inject: (proxy) => inject({ server, network, random }, proxy),
      },
      count,
      random,
    );
  };
  return { fault, how, rounds, run };
}

async function during(
  network: FaultProxy,
  weather: FaultProxy["weather"],
  forMs: number,
): Promise<void> {
  network.weather = weather;
  await delay(forMs);
  network.weather = "pass";
}

export const POSTGRES: readonly Scenario[] = [
  scenario(
    "PostgreSQL is killed",
    "`kill -9` of the server and its children, started again up to 1 s later",
    { few: 2, many: 15 },
    async ({ server, random }) => {
      await server.kill();
      await delay(random.between(0, 1_000));
      await server.start();
    },
  ),
  scenario(
    "PostgreSQL is restarted",
    "a fast shutdown, which ends its sessions, and a start",
    { few: 2, many: 15 },
    async ({ server }) => {
      await server.stop();
      await server.start();
    },
  ),
  scenario(
    "PostgreSQL is frozen",
    "SIGSTOP for up to 8 s: connections are accepted, nothing is answered",
    { few: 1, many: 10 },
    async ({ server, random }) => {
      await server.pause();
      await delay(random.between(500, 8_000));
      await server.resume();
    },
  ),
  scenario(
    "the way to PostgreSQL is a black hole",
    "a TCP proxy accepts and swallows everything for up to 8 s, then breaks the connections",
    { few: 1, many: 10 },
    async ({ network, random }) => {
      await during(network, "black hole", random.between(500, 8_000));
      network.cut();
    },
  ),
  scenario(
    "connections to PostgreSQL break",
    "a TCP proxy closes all of them at a random moment",
    { few: 10, many: 100 },
    ({ network }) => Promise.resolve(network.cut()),
  ),
  scenario(
    "PostgreSQL refuses connections",
    "a TCP proxy closes every connection for up to 2 s",
    { few: 2, many: 15 },
    async ({ network, random }) => {
      network.cut();
      await during(network, "refuse", random.between(100, 2_000));
    },
  ),
  scenario(
    "the answer to COMMIT is lost",
    "a TCP proxy passes COMMIT on, and breaks the connection when its answer comes",
    { few: 10, many: 100 },
    async ({ network }) => {
      const { lostAnswers } = network;
      network.loseAnswer = "COMMIT\0";
      while (network.lostAnswers === lostAnswers) await delay(5);
    },
  ),
  scenario(
    "the way to PostgreSQL is slow",
    "a TCP proxy holds back every piece for 200 ms, for up to 3 s",
    { few: 1, many: 10 },
    async ({ network, random }) => {
      network.latencyMs = 200;
      await during(network, "slow", random.between(500, 3_000));
    },
  ),
  scenario(
    "the way to PostgreSQL is a trickle",
    "a TCP proxy passes on 16 bytes every 2 ms, for up to 3 s",
    { few: 1, many: 10 },
    ({ network, random }) => during(network, "drip", random.between(500, 3_000)),
  ),
  scenario(
    "flushes meet a deadlock",
    "a session locks the table, and then the marks: PostgreSQL ends the flush with 40P01",
    { few: 1, many: 15 },
    async ({ server }, proxy) => {
      // The log tells of one outage in a while: PostgreSQL counts them all.
      const deadlocks = () =>
        once(server.url, async (sql) => {
          const [row] = await sql`select sum(deadlocks)::int as count from pg_stat_database`;
          return row!.count as number;
        });
      const before = await deadlocks();
      // The tables are there once something was stored.
      const value = `before the deadlock ${crypto.randomUUID()}`;
      await proxy.accept({ user_id: "probe", value }, "?ack=flushed");
      await once(server.url, (sql) =>
        sql.begin(async (tx) => {
          // The flush is to be the one that gives in.
          await tx`set local deadlock_timeout = '60s'`;
          await tx`lock table user_data in share row exclusive mode`;
          await delay(200);
          await tx`select from dsproxy_marks for update`;
        }));
      const isMet = async () => await deadlocks() > before;
      await eventually("a flush met the deadlock", isMet, 5_000);
    },
  ),
];
